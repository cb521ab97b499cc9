package table

import (
	"math"
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Number(0): "0", Number(999): "999", Number(1000): "1,000", Number(math.MaxUint64): "18,446,744,073,709,551,615",
		Count(999_999): "999,999", Count(1_000_000): "1M", Count(1_296_340): "1.296M", Count(10_000_000): "10M", Count(12_345_678): "12.35M", Count(999_949_999): "999.9M", Count(999_999_999): "1G",
		Count(1_234_567_890_123): "1.235T", Count(math.MaxUint64): "18.45E",
		Size(0): "0 B", Size(1023): "1023 B", Size(1024): "1 KiB", Size(1500): "1.46 KiB", Size(1023 << 10): "1 MiB", Size(64 << 20): "64 MiB",
		Size(1<<30 + 1<<29): "1.5 GiB", Size(math.MaxInt64): "8192 PiB", Size(-2048): "-2 KiB",
		Rate(0): "0", Rate(0.04): "0", Rate(0.25): "0.3", Rate(3): "3", Rate(9.94): "9.9", Rate(9.96): "10", Rate(12345.6): "12,346",
		Rate(math.Inf(1)): "9.223E",
		Short(0):          "0ms", Short(350 * time.Millisecond): "350ms", Short(4250 * time.Millisecond): "4.2s", Short(59 * time.Second): "59s",
		Short(3*time.Minute + 2*time.Second): "3m02s", Short(5*time.Hour + 2*time.Minute): "5h02m", Short(76 * time.Hour): "3d4h",
		Short(-time.Second): "-1.0s", Short(math.MinInt64): "-106751d23h",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
