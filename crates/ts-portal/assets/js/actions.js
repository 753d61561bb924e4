// Cancels trials and runs them again.

import { send, trialPath } from "./api.js";
import { toast } from "./dom.js";
import { count } from "./format.js";

/** Requests at a time. */
const AT_A_TIME = 4;

/** Cancels trials or runs them again; says how many, and the first refusal. */
export async function actOn(rows, action) {
  const left = [...rows];
  const refusals = [];
  const work = async () => {
    for (let row = left.pop(); row !== undefined; row = left.pop()) {
      try {
        await send(trialPath(row.id, `/${action}`), { method: "POST", body: {} });
      } catch (error) {
        refusals.push(`#${row.seq}: ${error.message}${error.help ? ` – ${error.help}` : ""}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  const done = rows.length - refusals.length;
  if (done > 0) toast(action === "cancel" ? `${count(done)} asked to end` : `${count(done)} will run again`);
  if (refusals.length > 0) toast(refusals.length > 1 ? `${refusals[0]} (and ${refusals.length - 1} more)` : refusals[0], "error");
}
