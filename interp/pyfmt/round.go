package pyfmt

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"go.starlark.net/starlark"
)

// Round returns round(x, digits), or round(x) if digits is nil: the nearest number with so many
// digits after the point, of two as near the even one. Without digits it is an int.
func Round(x starlark.Value, digits *int) (starlark.Value, error) {
	switch x := x.(type) {
	case starlark.Int:
		if digits == nil || *digits >= 0 {
			return x, nil
		}
		return starlark.MakeBigInt(roundInt(x.BigInt(), -*digits)), nil
	case starlark.Float:
		f := float64(x)
		switch {
		case digits != nil:
			return starlark.Float(roundFloat(f, *digits)), nil
		case f-f != 0:
			return nil, fmt.Errorf("round: %s has no nearest int", x)
		}
		i, _ := big.NewFloat(math.RoundToEven(f)).Int(nil)
		return starlark.MakeBigInt(i), nil
	}
	return nil, fmt.Errorf("round: want a number, got %s", x.Type())
}

// roundInt rounds i to a multiple of 10**n.
func roundInt(i *big.Int, n int) *big.Int {
	if n > i.BitLen() { // it is less than half of 10**n
		return new(big.Int)
	}
	return nearest(i, big.NewInt(1), n)
}

// nearest returns the multiple of 10**n that is nearest to num/den, of two the even one. den is
// positive.
func nearest(num, den *big.Int, n int) *big.Int {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	step := new(big.Int).Mul(den, unit)
	quotient, rest := new(big.Int).DivMod(num, step, new(big.Int)) // 0 <= rest < step
	switch rest.Lsh(rest, 1).Cmp(step) {
	case 1:
		quotient.Add(quotient, big.NewInt(1))
	case 0:
		quotient.Add(quotient, new(big.Int).And(quotient, big.NewInt(1)))
	}
	return quotient.Mul(quotient, unit)
}

// roundFloat rounds f to n digits after the point, by its exact value.
func roundFloat(f float64, n int) float64 {
	switch {
	case f-f != 0 || n > 323:
		return f
	case n < -308:
		return 0 * f
	case n >= 0:
		out, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', n, 64), 64)
		return out
	}
	exact := new(big.Rat).SetFloat64(f)
	out, _ := new(big.Float).SetInt(nearest(exact.Num(), exact.Denom(), -n)).Float64()
	return math.Copysign(out, f)
}
