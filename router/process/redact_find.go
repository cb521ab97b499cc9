package process

import (
	"bytes"
	"cmp"
	"slices"
)

// Bounds of addresses (RFC 5321, 4.5.3.1) and of what belongs to a secret.
const (
	maxLocal  = 64
	maxDomain = 255

	accessKey   = 16 // behind the prefix
	secretKey   = 40
	secretReach = 64 // bytes from "secret" to the beginning of the key

	minBearer = 16
)

// next returns the offset of sep in text at or behind i; the end of the text when there is none.
func next(text []byte, i int, sep string) int {
	if n := bytes.Index(text[i:], []byte(sep)); n >= 0 {
		return i + n
	}
	return len(text)
}

// run returns the end of the bytes from i on that ok holds for, at most limit.
func run(text []byte, i, limit int, ok func(byte) bool) int {
	end := min(len(text), i+limit)
	for i < end && ok(text[i]) {
		i++
	}
	return i
}

func findEmails(dst []span, text []byte) []span {
	at, escaped := next(text, 0, "@"), next(text, 0, "%40")
	low := 0 // end of the match before
	for at < len(text) || escaped < len(text) {
		mark, size := at, 1
		if escaped < at {
			mark, size = escaped, 3
		}
		if end := domainEnd(text, mark+size); end > 0 {
			if start := localStart(text, low, mark); start < mark {
				dst = append(dst, span{start, end})
				low = end
			}
		}
		if at <= mark {
			at = next(text, mark+1, "@")
		}
		if escaped <= mark {
			escaped = next(text, mark+1, "%40")
		}
	}
	return dst
}

// localStart returns where the local part of an address before mark begins. The letter of an escape, as in \n, doesn't
// belong to it.
func localStart(text []byte, low, mark int) int {
	start := mark
	for start > max(low, mark-maxLocal) && isLocal(text[start-1]) {
		start--
	}
	if before(text, start) == '\\' { // else the letter of CORP\user@… is none of an escape
		start = behindLead(text, start)
	}
	return min(behindEscape(text, start), mark)
}

func isLocal(c byte) bool {
	switch c {
	case '.', '_', '%', '+', '-':
		return true
	}
	return isAlnum(c)
}

// domainEnd returns the end of the domain at i: at least two labels, the last one of at least two characters that
// begin with a letter; 0: there is none.
func domainEnd(text []byte, i int) (end int) {
	limit := min(len(text), i+maxDomain)
	for labels := 0; ; labels++ {
		stop := i
		for stop < limit && (isAlnum(text[stop]) || text[stop] == '-') {
			stop++
		}
		if stop == i {
			return end
		}
		if last := i + len(bytes.TrimRight(text[i:stop], "-")); labels > 0 && last-i >= 2 && !isDigit(text[i]) {
			end = last
		}
		if stop == limit || text[stop] != '.' {
			return end
		}
		i = stop + 1
	}
}

func findAWSKeys(dst []span, text []byte) []span {
	first := len(dst)
	for i := next(text, 0, "A"); i+4+accessKey <= len(text); i = next(text, i+1, "A") {
		switch string(text[i : i+4]) {
		case "AKIA", "ASIA", "ABIA", "ACCA":
		default:
			continue
		}
		if end := i + 4 + accessKey; run(text, i+4, accessKey, isUpper) == end && !glued(text, i) && (end == len(text) || !isAlnum(text[end])) {
			dst = append(dst, span{i, end})
			i = end - 1
		}
	}
	dst = findSecrets(dst, text, "ecret")
	dst = findSecrets(dst, text, "ECRET")
	found := dst[first:]
	if len(found) > 1 {
		slices.SortFunc(found, func(a, b span) int { return cmp.Compare(a.start, b.start) })
		kept := found[:1]
		for _, sp := range found[1:] {
			if last := &kept[len(kept)-1]; sp.start < last.end {
				last.end = max(last.end, sp.end)
			} else {
				kept = append(kept, sp)
			}
		}
		dst = dst[:first+len(kept)]
	}
	return dst
}

// findSecrets finds the first run of 40 characters of base64 behind each word.
func findSecrets(dst []span, text []byte, word string) []span {
	for i := next(text, 0, word); i < len(text); i = next(text, i+1, word) {
		if before(text, i)|0x20 != 's' {
			continue
		}
		at := i + len(word)
		for limit := at + secretReach; at < min(limit, len(text)); {
			if !isBase64(text[at]) {
				at++
				continue
			}
			inside := isBase64(text[at-1])
			at = behindLead(text, at)
			end := run(text, at, secretKey+1, isBase64)
			if end-at == secretKey && !inside {
				dst = append(dst, span{at, end})
				i = end - 1
				break
			}
			at = end
		}
	}
	return dst
}

func isUpper(c byte) bool { return isDigit(c) || c-'A' < 26 }

func isBase64(c byte) bool { return isAlnum(c) || c == '+' || c == '/' }

// findJWTs finds tokens in the compact form (RFC 7515, 3.1; RFC 7516, 3.1), whose header is the base64url of {" and more.
func findJWTs(dst []span, text []byte) []span {
	for i := next(text, 0, "eyJ"); i < len(text); i = next(text, i+1, "eyJ") {
		if glued(text, i) {
			continue
		}
		end := run(text, i, len(text), isBase64URL)
		dots := 0
		for dots < 4 && end < len(text) && text[end] == '.' {
			stop := run(text, end+1, len(text), isBase64URL)
			if dots >= 2 && stop == end+1 {
				break // the end of a sentence
			}
			end = stop
			dots++
		}
		if dots >= 2 && end-i >= 20 {
			dst = append(dst, span{i, end})
		}
		i = end - 1
	}
	return dst
}

func isBase64URL(c byte) bool { return isAlnum(c) || c == '-' || c == '_' }

// findBearerTokens finds the tokens of an Authorization header (RFC 6750, 2.1).
func findBearerTokens(dst []span, text []byte) []span {
	lower, upper := next(text, 0, "earer "), next(text, 0, "EARER ")
	for lower < len(text) || upper < len(text) {
		i := min(lower, upper)
		end := i + 1
		if before(text, i)|0x20 == 'b' && !glued(text, i-1) {
			start := run(text, i+len("earer "), len(text), func(c byte) bool { return c == ' ' })
			stop := run(text, start, len(text), isToken68)
			stop = run(text, stop, len(text), func(c byte) bool { return c == '=' })
			if stop-start >= minBearer {
				dst = append(dst, span{start, stop})
				end = stop
			}
		}
		if lower < end {
			lower = next(text, end, "earer ")
		}
		if upper < end {
			upper = next(text, end, "EARER ")
		}
	}
	return dst
}

func isToken68(c byte) bool {
	switch c {
	case '-', '.', '_', '~', '+', '/':
		return true
	}
	return isAlnum(c)
}

// findIPv4 finds addresses of four numbers up to 255.
func findIPv4(dst []span, text []byte) []span {
	for i := next(text, 0, "."); i < len(text); i = next(text, i+1, ".") {
		start := i
		for start > max(0, i-3) && isDigit(text[start-1]) {
			start--
		}
		start = behindEscape(text, start)
		end, ok := addressEnd(text, start)
		if ok && start < i && !glued(text, start) && before(text, start) != '.' && !moreBehind(text, end) {
			dst = append(dst, span{start, end})
			i = end - 1
		}
	}
	return dst
}

func addressEnd(text []byte, i int) (end int, ok bool) {
	for part := range 4 {
		stop := run(text, i, 4, isDigit)
		if stop == i || stop-i > 3 || stop-i == 3 && string(text[i:stop]) > "255" {
			return 0, false
		}
		if part == 3 {
			return stop, true
		}
		if stop == len(text) || text[stop] != '.' {
			return 0, false
		}
		i = stop + 1
	}
	return 0, false
}
