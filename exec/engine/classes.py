"""Makes of inputs the classes that the parameters of a function are annotated with.

python.py loads this file for functions whose annotations may name such a class, and puts its own
standard() and Unfit here. An annotation that can't be evaluated, such as a class that only type
checkers import, is passed over: what it annotates arrives as it is.
"""

import types


class Form:
    """How to make instances of a class from the fields of a record."""

    def __init__(self, make, keys, hints, required=(), late=(), more=False, plain=False):
        self.make = make  # the class, or a function that is given its arguments as a dict
        self.keys = keys  # by a field's name, that of the argument
        self.hints = hints
        self.required = set(required)
        self.late = late  # fields that are set once the instance is there
        self.more = more  # other fields are arguments too
        self.plain = plain  # records that no annotation names are dicts

    def covers(self, names):
        return self.required <= set(names) and (self.more or set(names) <= set(self.keys) | set(self.late))


class Classes:
    def __init__(self):
        self.typing = standard("typing")
        self.enum = standard("enum").Enum
        self.forms = {}  # of each class that was asked for; None for a class of no known kind

    def given(self, function, inputs):
        """Returns the inputs as the function's annotations want them."""
        hints = self.hints(function, [function])
        return {name: self.fit(v, hints.get(name), name) for name, v in inputs.items()}

    def hints(self, owner, parts):
        """Returns the annotations of a function or class by name, as far as they can be evaluated.

        parts are the function, or the classes that it extends, the first of them first.
        """
        try:
            return self.typing.get_type_hints(owner)
        except Exception:  # not all of them; a class's own code may run here
            pass
        found = {}
        for part in parts:
            scope = getattr(part, "__globals__", None) or vars(standard("sys").modules.get(part.__module__, types))
            for name, hint in annotations(part).items():
                try:
                    alone = types.SimpleNamespace(__annotations__={name: hint})
                    found[name] = self.typing.get_type_hints(alone, scope)[name]
                except Exception:
                    found.pop(name, None)
        return found

    def fit(self, v, hint, place):
        """Returns a value as an annotation wants it; as it is, if the annotation says nothing of it."""
        if v is None or hint is None:
            return v
        origin, args = getattr(hint, "__origin__", None), getattr(hint, "__args__", None) or ()
        for same in ("__metadata__", "__supertype__", "__value__"):  # Annotated, NewType, a type statement
            if hasattr(hint, same) and not isinstance(hint, type):
                return self.fit(v, origin if same == "__metadata__" else getattr(hint, same), place)
        if origin is self.typing.Union or isinstance(hint, getattr(types, "UnionType", ())):
            return self.fit_union(v, args, place)
        cls = origin if isinstance(origin, type) else hint
        if not isinstance(cls, type):
            return v
        if isinstance(v, list):
            return self.fit_list(v, cls, args, place)
        if isinstance(v, types.SimpleNamespace) or isinstance(v, dict) and typed_dict(cls):
            return self.fit_record(v, cls, place)
        if isinstance(v, dict):
            return {k: self.fit(x, args[1], "%s[%r]" % (place, k)) for k, x in v.items()} if len(args) == 2 else v
        if issubclass(cls, self.enum):
            return self.fit_enum(v, cls, place)
        return made(cls.model_validate, v, cls, place) if root(cls) else v

    def fit_union(self, v, hints, place):
        """Returns a value as the first member of a union that takes it."""
        refused = []
        for hint in hints:
            if self.takes(v, hint):
                try:
                    return self.fit(v, hint, place)
                except Unfit as e:
                    refused.append(e)
        if refused:
            raise refused[0]
        return v

    def takes(self, v, hint):
        """Reports whether a value has the form that an annotation wants."""
        cls = getattr(hint, "__origin__", None) or hint
        if not isinstance(cls, type):
            return True
        if isinstance(v, types.SimpleNamespace):
            form = self.form(cls)
            return form is not None and form.covers(vars(v))
        if isinstance(v, list):
            return cls not in (str, bytes) and hasattr(cls, "__iter__") and not hasattr(cls, "keys") and not issubclass(cls, self.enum)
        if isinstance(v, dict):
            return hasattr(cls, "keys")
        if issubclass(cls, self.enum):
            return member(cls, v) is not None
        return cls in type(v).__mro__  # a TypedDict refuses isinstance

    def fit_list(self, v, cls, args, place):
        if root(cls):
            return made(cls.model_validate, v, cls, place)
        if issubclass(cls, tuple) and Ellipsis not in args:
            hints = args if len(args) == len(v) else [None] * len(v)
        else:
            hints = [args[0] if args else None] * len(v)
        items = [self.fit(x, hint, "%s[%d]" % (place, i)) for i, (x, hint) in enumerate(zip(v, hints))]
        return cls(items) if cls in (tuple, set, frozenset) else items

    def fit_enum(self, v, cls, place):
        found = member(cls, v)
        return found if found is not None else made(cls, v, cls, place)

    def fit_record(self, v, cls, place):
        form = self.form(cls)
        if form is None:
            return dict(vars(v)) if cls is dict else v
        members = v if isinstance(v, dict) else vars(v)
        arguments, late = {}, {}
        for name, x in members.items():
            x = self.fit(x, form.hints.get(name), "%s.%s" % (place, name))
            x = tree(x) if form.plain else x
            if name in form.late:
                late[name] = x
            elif name in form.keys or form.more:
                arguments[form.keys.get(name, name)] = x
            else:
                raise Unfit("input %s doesn't fit %s: the class has no field %r" % (place, cls.__name__, name))
        instance = made(form.make, arguments, cls, place)
        for name, x in late.items():
            object.__setattr__(instance, name, x)
        return instance

    def form(self, cls):
        if cls not in self.forms:
            self.forms[cls] = self.look(cls)
        return self.forms[cls]

    def look(self, cls):
        """Returns the form of a class; None if it is of no known kind."""
        def call(arguments):
            return cls(**arguments)

        hints = self.hints(cls, reversed(cls.__mro__))
        if "__dataclass_fields__" in dir(cls):
            fields = standard("dataclasses").fields(cls)
            missing = standard("dataclasses").MISSING
            own = [f for f in fields if f.init]
            return Form(call, {f.name: f.name for f in own}, hints, [f.name for f in own if f.default is missing and f.default_factory is missing],
                        [f.name for f in fields if not f.init])
        if hasattr(cls, "__attrs_attrs__"):
            nothing = [getattr(a.default, "name", "") == "NOTHING" for a in cls.__attrs_attrs__]
            own = [(a, n) for a, n in zip(cls.__attrs_attrs__, nothing) if a.init]
            return Form(call, {a.name: getattr(a, "alias", None) or a.name.lstrip("_") for a, _ in own}, hints, [a.name for a, n in own if n],
                        [a.name for a in cls.__attrs_attrs__ if not a.init])
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return Form(call, {n: n for n in cls._fields}, hints, [n for n in cls._fields if n not in getattr(cls, "_field_defaults", {})])
        if typed_dict(cls):
            return Form(dict, {n: n for n in hints}, hints, getattr(cls, "__required_keys__", ()))
        if hasattr(cls, "model_validate") and hasattr(cls, "model_fields"):
            fields = cls.model_fields
            by_name = any(cls.model_config.get(c) for c in ("populate_by_name", "validate_by_name"))
            return Form(cls.model_validate, {n: n if by_name else alias(f, n) for n, f in fields.items()}, hints,
                        [n for n, f in fields.items() if f.is_required()], (), cls.model_config.get("extra") == "allow", True)
        if hasattr(cls, "parse_obj") and hasattr(cls, "__fields__"):  # pydantic's first version
            fields = cls.__fields__
            return Form(cls.parse_obj, {n: f.alias for n, f in fields.items()}, hints, [n for n, f in fields.items() if f.required],
                        (), getattr(cls.__config__.extra, "value", "") == "allow", True)
        return None


def alias(field, name):
    """Returns the key at which a pydantic model wants a field."""
    said = field.validation_alias
    for choice in getattr(said, "choices", [said]):
        if isinstance(choice, str):
            return choice
    return name


def root(cls):
    """Reports whether a class is a pydantic model of one value."""
    return hasattr(cls, "model_validate") and getattr(cls, "__pydantic_root_model__", False)


def typed_dict(cls):
    return issubclass(cls, dict) and hasattr(cls, "__total__")


def member(cls, v):
    """Returns the member of an Enum whose value is v, of v's own type."""
    for m in cls:
        if type(m._value_) is type(v) and m._value_ == v:
            return m
    return None


def tree(v):
    """Returns a value with records as dicts."""
    if isinstance(v, list):
        return [tree(x) for x in v]
    if isinstance(v, types.SimpleNamespace):
        v = vars(v)
    return {k: tree(x) for k, x in v.items()} if type(v) is dict else v


def made(make, v, cls, place):
    """Makes an instance of a class. An exception of the class is about the input."""
    try:
        return make(v)
    except Exception as e:
        raise Unfit("input %s doesn't fit %s: %s: %s" % (place, cls.__name__, type(e).__name__, e)) from e
