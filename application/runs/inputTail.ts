/**
 * The bytes of an input behind its last batch, as they pass by: the last `bytesMax` of them, which may be all. They are wanted only where the
 * input ends for now.
 */
export class InputTail {
  /** The position behind the last byte so far. */
  end: number;
  #start: number;
  #chunks: Uint8Array[] = [];
  readonly #bytesMax: number;

  constructor(start: number, bytesMax: number) {
    this.#start = start;
    this.end = start;
    this.#bytesMax = bytesMax;
  }

  async *watch(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of bytes) {
      this.#chunks.push(chunk);
      this.end += chunk.length;
      this.drop(this.end - this.#bytesMax);
      yield chunk;
    }
  }

  /** Forgets whole chunks before a position. */
  drop(before: number): void {
    let first = 0;
    while (first < this.#chunks.length && this.#start + this.#chunks[first]!.length <= before)
      this.#start += this.#chunks[first++]!.length;
    if (first > 0) this.#chunks.splice(0, first);
  }

  /** `undefined` where there are none, or the first of them is forgotten. */
  bytesFrom(position: number, until = this.end): Buffer | undefined {
    if (position < this.#start || position >= until) return undefined;
    const from = position - this.#start;
    return Buffer.concat(this.#chunks).subarray(from, from + until - position);
  }
}
