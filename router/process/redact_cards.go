package process

import (
	"bytes"
	"strconv"

	"github.com/firebreak/firebreak/internal/mp"
)

// Digits of card numbers (ISO/IEC 7812-1 allows 8 to 19; those of the networks below have 13 at least).
const minCard, maxCard = 13, 19

// findCards finds card numbers. Only bytes at which a card number could be are looked at: every 13th in most texts.
func findCards(dst []span, text []byte) []span {
	for i := 0; i+minCard <= len(text); {
		p := i + minCard - 1
		if !inCard(text, p) {
			i = p + 1 // no number of 13 digits that begins at i or later ends before p
			continue
		}
		start, end := p, p+1
		for start > i && inCard(text, start-1) {
			start--
		}
		for end < len(text) && inCard(text, end) {
			end++
		}
		dst = cardsOf(dst, text, start, end)
		i = end + 1
	}
	return dst
}

// inCard reports whether a byte is a digit, or a single space or dash between two.
func inCard(text []byte, i int) bool {
	if isDigit(text[i]) {
		return true
	}
	return (text[i] == ' ' || text[i] == '-') && i > 0 && i+1 < len(text) && isDigit(text[i-1]) && isDigit(text[i+1])
}

// cardsOf finds card numbers in a run of groups of digits, the first of those that overlap and of these the longest.
func cardsOf(dst []span, text []byte, start, end int) []span {
	escape := behindEscape(text, start)
	if escape > start && text[escape-3] != '%' { // the 25 of %25… may be digits as well
		start = escape
	}
	for i := start; i < end; {
		if n := cardAt(text, i, end); n > 0 && !(i == start && partOfMore(text, i)) {
			dst = append(dst, span{i, i + n})
			i += n + 1
			continue
		}
		if i < escape {
			i = escape
			continue
		}
		for i < end && isDigit(text[i]) {
			i++
		}
		i++
	}
	return dst
}

// cardAt returns the length of the longest card number at the beginning of a group, or 0.
func cardAt(text []byte, at, end int) (length int) {
	var digits [maxCard]byte
	n, group := 0, 0
	for i := at; i < end; i++ {
		if !isDigit(text[i]) {
			if group < 3 {
				break
			}
			group = 0
			continue
		}
		if n == maxCard {
			break
		}
		digits[n] = text[i]
		n++
		group++
		last := i+1 == end
		if n < minCard || !last && isDigit(text[i+1]) || last && moreBehind(text, i+1) {
			continue
		}
		if network(digits[:n]) && luhn(digits[:n]) {
			length = i + 1 - at
		}
	}
	return length
}

// partOfMore reports whether something before a number belongs to it: a letter or digit, or a decimal point.
func partOfMore(text []byte, i int) bool {
	return glued(text, i) || i > 1 && text[i-1] == '.' && isDigit(text[i-2])
}

func moreBehind(text []byte, i int) bool {
	return i < len(text) && (isAlnum(text[i]) || text[i] == '.' && i+1 < len(text) && isDigit(text[i+1]))
}

// luhn checks the last digit (ISO/IEC 7812-1, annex B).
func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// network reports whether a number begins like those of a card network, and has a length that it uses
// (https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN)).
func network(digits []byte) bool {
	four := 0
	for _, d := range digits[:4] {
		four = four*10 + int(d-'0')
	}
	two, n := four/100, len(digits)
	switch {
	case two/10 == 4: // Visa
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34, two == 37: // American Express
		return n == 15
	case four >= 3000 && four <= 3059, four == 3095, two == 36, two == 38, two == 39: // Diners Club
		return n >= 14
	case four >= 3528 && four <= 3589, four >= 2200 && four <= 2204: // JCB, Mir
		return n >= 16
	case two == 60, two == 62, two == 64, two == 65, two == 81, two == 82: // Discover, UnionPay, RuPay
		return n >= 16
	case two == 50, two >= 56 && two <= 58, two == 63, two == 67: // Maestro, Verve
		return true
	case four == 9792: // Troy
		return n == 16
	}
	return false
}

// isCardNumber reports whether an encoded integer of 64 bits is a card number.
func isCardNumber(v []byte) bool {
	n, _, err := mp.Int(v)
	if err != nil || n < 1e12 {
		return false
	}
	var buf [20]byte
	digits := strconv.AppendInt(buf[:0], n, 10)
	return network(digits) && luhn(digits)
}

func isDigit(c byte) bool { return c-'0' < 10 }

func isHex(c byte) bool { return isDigit(c) || c|0x20-'a' < 6 }

func isAlnum(c byte) bool { return isDigit(c) || c|0x20-'a' < 26 }

// glued reports whether a letter or digit stands before an offset, and isn't the end of an escape.
func glued(text []byte, i int) bool {
	c := before(text, i)
	return isAlnum(c) && (isDigit(c) || before(text, i-1) != '\\') && hexEscape(text, i) == 0
}

// hexEscape returns the number of hexadecimal digits in the escape that ends before an offset: \u0022 as in JSON, \x22 as
// in the logs of nginx, or %22 as in URLs; 0: there is none.
func hexEscape(text []byte, end int) int {
	n := 0
	for n < 4 && n < end && isHex(text[end-1-n]) {
		n++
		switch c := before(text, end-n); {
		case n == 2 && (c == '%' || c == 'x' && before(text, end-n-1) == '\\'), n == 4 && c == 'u' && before(text, end-n-1) == '\\':
			return n
		}
	}
	return 0
}

// behindEscape returns the end of the escape whose digits an offset is in, or the offset.
func behindEscape(text []byte, i int) int {
	for end := i + 1; end <= min(i+4, len(text)); end++ {
		if n := hexEscape(text, end); end-n <= i && n > 0 {
			return end
		}
	}
	return i
}

// behindLead returns the end of the escape whose backslash or percent sign is right before an offset, or the offset.
func behindLead(text []byte, i int) int {
	if i == len(text) {
		return i
	}
	switch before(text, i) {
	case '\\':
		if end := behindEscape(text, i+1); end > i+1 {
			return end
		}
		if bytes.IndexByte([]byte("abefnrtv/"), text[i]) >= 0 {
			return i + 1
		}
	case '%':
		return behindEscape(text, i)
	}
	return i
}
