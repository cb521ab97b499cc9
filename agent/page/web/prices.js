// The price table and the options of the estimate: built in, changed by the reader, kept by the browser.

const storeKey = "firebreak.cost";

class Prices {
  constructor() {
    this.builtin = JSON.parse(byId("prices").textContent);
    this.reset(false);
    try {
      const kept = JSON.parse(localStorage.getItem(storeKey) || "null");
      if (kept) this.take(kept);
    } catch { /* what is kept there is unreadable: the built-in one is used */ }
  }
  // take accepts what export wrote, and returns an error's text or null. Nothing changes on an error.
  take(given) {
    const checked = validPrices(given && given.prices, this.builtin);
    if (checked.error) return checked.error;
    this.table = checked.prices;
    this.region = Object.hasOwn(this.table.regions, given.region) ? given.region : Object.keys(this.table.regions)[0];
    const o = given.options && typeof given.options === "object" ? given.options : {};
    for (const [k, def] of Object.entries(costDefaults)) this.options[k] = typeof o[k] === "number" && isFinite(o[k]) && o[k] >= 0 ? o[k] : def;
    this.basis = given.basis === "now" ? "now" : "hour";
    this.edited = JSON.stringify(this.table) !== JSON.stringify(validPrices(this.builtin, this.builtin).prices);
    return null;
  }
  reset(forget) {
    this.table = validPrices(this.builtin, this.builtin).prices;
    this.region = "us-east-1";
    this.options = Object.assign({}, costDefaults);
    this.basis = "hour";
    this.edited = false;
    if (forget) try { localStorage.removeItem(storeKey); } catch { /* not kept, then */ }
  }
  export() { return { prices: this.table, region: this.region, options: this.options, basis: this.basis }; }
  keep() { try { localStorage.setItem(storeKey, JSON.stringify(this.export())); } catch { /* a browser that keeps nothing */ } }
  get here() { return this.table.regions[this.region]; }
}
