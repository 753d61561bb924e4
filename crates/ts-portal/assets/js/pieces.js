// Where a piece that is cut out of a log may begin and end.

const NEWLINE = 10;
/** Bytes of the longest letter in UTF-8. */
const LONGEST = 4;

const isInside = (byte) => (byte & 0b1100_0000) === 0b1000_0000;

/** How many bytes stand before the first line that begins in a piece; where none does, before the first letter. */
export function toALine(bytes) {
  const at = bytes.indexOf(NEWLINE);
  if (at >= 0 && at + 1 < bytes.length) return at + 1;
  let n = 0;
  while (n < Math.min(LONGEST - 1, bytes.length) && isInside(bytes[n])) n += 1;
  return n;
}

/** How many bytes of a piece are whole letters; all of a piece that is no text at its end. */
export function wholeLetters(bytes) {
  for (let n = 1; n < LONGEST && n <= bytes.length; n += 1) {
    const byte = bytes[bytes.length - n];
    if (isInside(byte)) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > n ? bytes.length - n : bytes.length;
  }
  return bytes.length;
}
