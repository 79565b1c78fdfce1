/**
 * How the rows of a batch are split, so that one run writes over several connections at once. The hash of its key puts a row into one
 * of 16 slots; a lane is a range of slots, which is stored in one transaction. The slots of a batch do not depend on the number of
 * lanes, so that workers with different numbers complete one batch together.
 */
export const slotCount = 16;

/** FNV-1a over the UTF-16 units of a key. Workers of all versions must agree, so it never changes. */
export function slotOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  // The low bits alone depend on the low bits of the key only.
  return (hash ^ (hash >>> 16) ^ (hash >>> 24)) & (slotCount - 1);
}

/** The slots of each lane, about as many in each. */
export function lanesOf(count: number): number[][] {
  const lanes = Math.max(1, Math.min(count, slotCount));
  return Array.from({ length: lanes }, (_, lane) => {
    const [from, to] = [lane, lane + 1].map((n) => Math.floor((n * slotCount) / lanes)) as [number, number];
    return Array.from({ length: to - from }, (_, i) => from + i);
  });
}

/** The part of the rows that is in one of several databases. */
export interface Shard {
  name: string;
  /** In the list of the sink, from 0. */
  place: number;
  slots: readonly number[];
}

/**
 * The slots of each shard, a range for each, in the order of their names. Rows are found by this map, so it never changes: another
 * number or order of shards is another table.
 */
export function shardsOf(names: readonly string[]): Shard[] {
  return lanesOf(names.length).map((slots, place) => ({ name: names[place]!, place, slots }));
}
