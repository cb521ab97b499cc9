// How numbers are written. Everything here returns text.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function digits(x, n) {
  return new Intl.NumberFormat("en-US", { maximumSignificantDigits: n }).format(x);
}

// fmtCount writes a number of events: all digits up to a million, then three of them.
function fmtCount(n) {
  if (n == null || !isFinite(n)) return "–";
  if (Math.abs(n) < 1e6) return whole.format(n);
  if (Math.abs(n) < 1e9) return digits(n / 1e6, 4) + " M";
  return digits(n / 1e9, 4) + " G";
}

// fmtExact writes all digits.
function fmtExact(n) {
  return n == null ? "–" : whole.format(n);
}

// fmtRate writes events per second, without the unit.
function fmtRate(r) {
  if (r == null || !isFinite(r)) return "–";
  if (r === 0) return "0";
  if (r < 0.1) return "<0.1";
  if (r < 10) return r.toFixed(1);
  if (r < 1e5) return whole.format(r);
  if (r < 1e6) return digits(r / 1e3, 3) + "k";
  return digits(r / 1e6, 3) + "M";
}

// fmtShort writes a rate where there is little room.
function fmtShort(r) {
  return r >= 1e4 && r < 1e6 ? digits(r / 1e3, 3) + "k" : fmtRate(r);
}

function fmtBytes(b) {
  if (b == null || !isFinite(b)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (b >= 1000 && i < units.length - 1) { b /= 1024; i++; }
  return (i === 0 ? whole.format(b) : b < 10 ? b.toFixed(1) : digits(b, 3)) + " " + units[i];
}

// fmtSpan writes a time span in milliseconds, coarsely.
function fmtSpan(ms) {
  if (ms == null || !isFinite(ms)) return "–";
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return "less than 1 s";
  if (s < 90) return Math.floor(s) + " s";
  if (s < 90 * 60) return Math.floor(s / 60) + " min";
  if (s < 36 * 3600) return digits(Math.floor(s / 360) / 10, 3) + " h";
  return Math.floor(s / 86400) + " days";
}

function fmtClock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

// fmtMoney writes dollars per month.
function fmtMoney(x) {
  if (x == null || !isFinite(x)) return "–";
  if (x === 0) return "$0";
  if (x < 0.01) return "<$0.01";
  if (x < 100) return "$" + x.toFixed(2);
  if (x < 1e6) return "$" + whole.format(x);
  return "$" + digits(x / 1e6, 3) + " M";
}

function fmtVolume(bytes) {
  if (bytes == null || !isFinite(bytes)) return "–";
  const gb = bytes / 2 ** 30;
  if (gb >= 1024) return digits(gb / 1024, 3) + " TB";
  return gb >= 1 ? digits(gb, 3) + " GB" : fmtBytes(bytes);
}

// plural writes "1 event", "2 events".
function plural(n, word) {
  return fmtCount(n) + " " + word + (n === 1 ? "" : "s");
}

// brief is the end of a wrapped error, where its cause is: "dial tcp 10.0.0.1:24224: connect: connection refused".
function brief(error) {
  const parts = cut(error, 400).split(": ").filter(Boolean);
  let s = parts.pop() || "";
  while (s.length < 12 && parts.length) s = parts.pop() + ": " + s;
  return cut(s, 120);
}

// cut shortens foreign text.
function cut(s, n) {
  s = String(s == null ? "" : s).replace(/\s+/g, " ").trim();
  return s.length > n ? s.slice(0, n - 1) + "…" : s;
}
