package inside

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Sysctls are settings of a container's own network, as other container engines set them: any user
// may listen on low ports, and ping without rights.
var Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 65535"}

// openLoopback brings the container's own network up: its loopback interface, with the addresses
// 127.0.0.1 and ::1. It is called while /proc/sys can still be written to.
func openLoopback() error {
	for name, value := range Sysctls {
		if err := setSysctl(name, value); err != nil {
			return err
		}
	}
	for _, name := range []string{"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.lo.disable_ipv6"} {
		if err := setSysctl(name, "0"); err != nil { // a host may have it disabled for new interfaces
			return err
		}
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening the network: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return fmt.Errorf("reading the flags of the loopback interface: %w", err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bringing the loopback interface up: %w", err)
	}
	return nil
}

// setSysctl sets a setting of the kernel, if the kernel has it.
func setSysctl(name, value string) error {
	err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}
