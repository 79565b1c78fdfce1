/** A record between two steps: `[position, line, byteOffset, byteLength, value]`. */
export type Line = [position: number, line: number, byteOffset: number, byteLength: number, value: unknown];

/** Visits the lines that the step before wrote. Our own bytes, so that nothing in them needs a check. */
export function eachLine(bytes: Buffer, visit: (line: Line) => void): void {
  for (let start = 0; start < bytes.length; ) {
    const next = bytes.indexOf(0x0a, start);
    const end = next < 0 ? bytes.length : next;
    visit(JSON.parse(bytes.toString('utf8', start, end)));
    start = end + 1;
  }
}
