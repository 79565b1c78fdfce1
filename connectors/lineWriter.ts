/**
 * Gathers lines in one growing buffer. Strings that are joined first and encoded at the end cost four times as much:
 * one character beyond Latin-1 makes all of them wide.
 */
export class LineWriter {
  #buffer: Buffer;
  #used = 0;

  constructor(expectedBytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(expectedBytes, 1024));
  }

  get sizeBytes(): number {
    return this.#used;
  }

  text(text: string): void {
    // A UTF-16 unit takes three bytes at most.
    this.#reserve(text.length * 3);
    this.#used += this.#buffer.write(text, this.#used);
  }

  /** Digits, brackets and the like. */
  ascii(text: string): void {
    this.#reserve(text.length);
    this.#used += this.#buffer.write(text, this.#used, 'latin1');
  }

  copy(bytes: Buffer, start: number, end: number): void {
    this.#reserve(end - start);
    this.#used += bytes.copy(this.#buffer, this.#used, start, end);
  }

  /** What was written, on memory of its own, which can be transferred. */
  finish(): Uint8Array {
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset, this.#used);
  }

  /** Gives the memory back at once; a large buffer would stay until the next collection of garbage. */
  free(): void {
    (this.#buffer.buffer as ArrayBuffer).transfer(0);
  }

  #reserve(sizeBytes: number): void {
    if (this.#used + sizeBytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow((this.#used + sizeBytes) * 2);
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }
}
