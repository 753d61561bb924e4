// Parameters of trials as flat columns, whatever shape a tuner gives them. Pure.

/** What NNI's tuners wrap parameters in is taken off: `{parameter_id, parameters, …}`. */
export function unwrap(given) {
  const packed = isObject(given) && "parameter_id" in given && "parameters" in given;
  return packed ? given.parameters : given;
}

/**
 * Names and scalars: nested objects get dotted names, the choice of a nested search space (`{_name, …}`) stands under
 * the name itself, lists become JSON. What is no object stands under `parameters`.
 *
 * @returns {Map<string, string|number|boolean|null>}
 */
export function flatten(given) {
  const flat = new Map();
  const walk = (name, value) => {
    if (isObject(value)) {
      for (const [key, inner] of Object.entries(value)) {
        const path = key === "_name" && name !== "" ? name : name === "" ? key : `${name}.${key}`;
        walk(path, inner);
      }
    } else {
      flat.set(name === "" ? "parameters" : name, Array.isArray(value) ? JSON.stringify(value) : value);
    }
  };
  const inner = unwrap(given);
  if (inner !== null && inner !== undefined) walk("", inner);
  return flat;
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

const LOG_TYPES = new Set(["loguniform", "qloguniform", "lognormal", "qlognormal"]);
const CATEGORY_TYPES = new Set(["choice", "layer_choice", "input_choice"]);

/**
 * How an axis of this parameter is drawn: `log`, `linear` or `category`.
 *
 * @param {object|null} entry its entry in the search space, where there is one
 * @param {Iterable} values what trials have
 */
export function axisKind(entry, values) {
  let positive = true;
  let some = false;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (typeof value !== "number") return "category";
    some = true;
    positive &&= value > 0;
  }
  if (!some) return CATEGORY_TYPES.has(entry?._type) ? "category" : "linear";
  if (entry?._type === "choice" && Array.isArray(entry._value) && entry._value.length <= 12) return "category";
  return LOG_TYPES.has(entry?._type) && positive ? "log" : "linear";
}

/** Order of values of one kind: numbers by size before text by letters, what is missing at the end. */
export function compare(a, b) {
  const missing = (x) => x === null || x === undefined || Number.isNaN(x);
  if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}
