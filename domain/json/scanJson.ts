/** What a quick look at JSON text finds, before it is parsed. */
export interface JsonScan {
  tooDeep: boolean;
  /** A number may not be a double, or a key may stand twice in one object: `parseExactJson` knows. */
  doubtful: boolean;
}

const clean: JsonScan = Object.freeze({ tooDeep: false, doubtful: false });
const inDoubt: JsonScan = Object.freeze({ tooDeep: false, doubtful: true });
const beyondDepth: JsonScan = Object.freeze({ tooDeep: true, doubtful: false });

/** Every decimal number of up to 15 digits is a double that prints back the same. */
const exactCharacters = 15;

// Keys seen in the text, as hashes in a table of open addressing; `stamps` says by which scan a place was taken.
const placesMax = 1024;
const hashes = new Int32Array(placesMax);
const stamps = new Int32Array(placesMax);
let scans = 0;
/** More keys than that make the table slow, so that the exact parser looks instead. */
const keysMax = 700;
const levels = new Int32Array(66);

/**
 * Walks once over JSON text, without recursion and without making a value: about a tenth of the time of `JSON.parse`.
 * For text that is no JSON the answer says nothing but whether its brackets nest too deep.
 */
export function scanJson(text: string, depthMax: number): JsonScan {
  const scan = nextScan();
  let keys = 0;
  let depth = 0;
  let objects = 0;
  let doubtful = false;
  let keyFollows = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x22) {
      if (!keyFollows) {
        i = endOfString(text, i + 1);
        if (i < 0) return doubtful ? inDoubt : clean;
        continue;
      }
      keyFollows = false;
      let hash = levels[depth]!;
      let k = 0;
      for (i++; i < text.length; i++) {
        k = text.charCodeAt(i);
        if (k === 0x22) break;
        if (k === 0x5c) {
          doubtful = true;
          i++;
        } else hash = Math.imul(hash ^ k, 0x01000193);
      }
      if (doubtful) continue;
      if (++keys > keysMax) doubtful = true;
      else doubtful = !addHash(hash ^ (hash >>> 15), scan);
    } else if (c === 0x7b) {
      if (++depth > depthMax) return beyondDepth;
      levels[depth] = Math.imul(++objects, 0x9e3779b1) | 1;
      keyFollows = true;
    } else if (c === 0x5b) {
      if (++depth > depthMax) return beyondDepth;
      levels[depth] = 0;
    } else if (c === 0x7d || c === 0x5d) {
      if (depth > 0) depth--;
      keyFollows = false;
    } else if (c === 0x2c) keyFollows = levels[depth] !== 0;
    else if (c >= 0x30 && c <= 0x39) {
      const start = i;
      let d = c;
      do d = text.charCodeAt(++i);
      while ((d >= 0x30 && d <= 0x39) || d === 0x2e);
      if (d === 0x65 || d === 0x45 || i - start > exactCharacters) doubtful = true;
      i--;
    }
  }
  return doubtful ? inDoubt : clean;
}

function nextScan(): number {
  levels[0] = 0;
  if (scans < 0x7fffffff) return ++scans;
  stamps.fill(0);
  scans = 1;
  return scans;
}

/** Whether the hash was not there. */
function addHash(hash: number, scan: number): boolean {
  let place = hash & (placesMax - 1);
  while (stamps[place] === scan) {
    if (hashes[place] === hash) return false;
    place = (place + 1) & (placesMax - 1);
  }
  stamps[place] = scan;
  hashes[place] = hash;
  return true;
}

/** Index of the quote that ends a string, of which the text begins at `from`; -1 without one. */
export function endOfString(text: string, from: number): number {
  const end = text.indexOf('"', from);
  if (end < 0 || text.charCodeAt(end - 1) !== 0x5c || end === from) return end;
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x5c) i++;
    else if (c === 0x22) return i;
  }
  return -1;
}
