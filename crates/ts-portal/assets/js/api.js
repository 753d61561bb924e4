// Requests to `/api/v2` of the server that the page came from: the token, errors in three parts, paging.

const BASE = new URL("api/v2/", document.baseURI);
const TOKEN_KEY = "training-service-token";

/** A refusal or a failure to ask: `status` is 0 where no answer came. */
export class ApiError extends Error {
  constructor(status, { kind = "Unreachable", message, help = null }) {
    super(message);
    this.status = status;
    this.kind = kind;
    this.help = help;
  }
}

/** Takes the token out of `#token=…` and out of the address bar; it is kept for this tab only. */
export function takeToken() {
  const found = /^#token=([^&]*)/.exec(location.hash);
  if (!found) return;
  setToken(decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname + location.search);
}

/** Keeps a token for this tab. */
export function setToken(token) {
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
}

/** Sends a request; the answer is one that succeeded. */
export async function send(path, { method = "GET", query = {}, body, headers = {}, signal } = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(name, value);
  }
  const token = sessionStorage.getItem(TOKEN_KEY);
  const all = { ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { message: "the manager does not answer" });
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  let told = null;
  try {
    told = JSON.parse(await answer.text()).error;
  } catch {
    // A proxy's own words are no use here.
  }
  if (typeof told === "string") told = { message: told };
  return new ApiError(answer.status, told?.message ? told : { kind: "Protocol", message: `HTTP ${answer.status}` });
}

/** The JSON of an answer. */
export async function get(path, query, signal) {
  const answer = await send(path, { query, signal });
  try {
    return await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { kind: "Protocol", message: "the answer was cut short" });
  }
}

/** All pages of a list from `after` on, one at a time. */
export async function* pages(path, query, signal) {
  let { after } = query;
  for (;;) {
    const page = await get(path, { ...query, after }, signal);
    yield page;
    if (page.next === null || page.next === undefined || page.next === after) return;
    after = page.next;
  }
}

/** Path of a trial. */
export const trialPath = (id, rest = "") => `trials/${encodeURIComponent(id)}${rest}`;
