import { isDoubleExact, wholeNumber } from './decimalText.ts';
import { endOfString } from './scanJson.ts';

/** A number of JSON that no JavaScript number and no bigint equals: a decimal of many digits, a large exponent. */
export class ExactNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export interface ExactJson {
  /** With bigints and instances of `ExactNumber` where a number would have changed the value. */
  value: unknown;
  /** Whether there are any. */
  inexact: boolean;
  /** Dotted path of the first key that stands twice in its object. */
  duplicateKey: string | undefined;
}

/**
 * The value of JSON text that `JSON.parse` has accepted and that nests no deeper than a recursion bears. Ten times as slow, so
 * that only text of which `scanJson` is in doubt comes here. Of a key that stands twice the later value stays.
 */
export function parseExactJson(text: string): ExactJson {
  const parser = new Parser(text);
  const value = parser.readValue();
  return { value, inexact: parser.inexact, duplicateKey: parser.duplicateKey };
}

/**
 * The same for an object of which the items of one member are handed on as the texts that they are; what is wrong inside of them is
 * found by the reader of each.
 */
export function parseWithItems(text: string, member: string): ExactJson & { items: string[] | undefined } {
  const parser = new Parser(text, member);
  const value = parser.readValue();
  return { value, inexact: parser.inexact, duplicateKey: parser.duplicateKey, items: parser.items };
}

const numberEnd = /[^-+.0-9eE]/g;

class Parser {
  inexact = false;
  duplicateKey: string | undefined;
  /** Texts of the items of the member, where it is an array. */
  items: string[] | undefined;
  readonly #member: string | undefined;
  readonly #text: string;
  #at = 0;
  readonly #path: (string | number)[] = [];

  constructor(text: string, member?: string) {
    this.#text = text;
    this.#member = member;
  }

  readValue(): unknown {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#readObject();
      case '[':
        return this.#readArray();
      case '"':
        return this.#readString();
      case 't':
        this.#at += 4;
        return true;
      case 'f':
        this.#at += 5;
        return false;
      case 'n':
        this.#at += 4;
        return null;
      default:
        return this.#readNumber();
    }
  }

  #readObject(): object {
    const object: Record<string, unknown> = {};
    this.#at++;
    while (this.#next() !== '}') {
      const key = this.#readString();
      this.#next();
      this.#at++; // The colon.
      this.#path.push(key);
      if (Object.hasOwn(object, key)) this.duplicateKey ??= this.#path.join('.');
      const isMember = key === this.#member && this.#path.length === 1 && this.#next() === '[';
      const value = isMember ? this.#readItems() : this.readValue();
      this.#path.pop();
      if (key !== '__proto__') object[key] = value;
      else
        Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
      if (this.#next() === ',') this.#at++;
    }
    this.#at++;
    return object;
  }

  #readArray(): unknown[] {
    const array: unknown[] = [];
    this.#at++;
    while (this.#next() !== ']') {
      this.#path.push(array.length);
      array.push(this.readValue());
      this.#path.pop();
      if (this.#next() === ',') this.#at++;
    }
    this.#at++;
    return array;
  }

  #readItems(): unknown[] {
    const { inexact, duplicateKey } = this;
    const items: string[] = [];
    const array: unknown[] = [];
    this.#at++;
    while (this.#next() !== ']') {
      const start = this.#at;
      array.push(this.readValue());
      items.push(this.#text.slice(start, this.#at));
      if (this.#next() === ',') this.#at++;
    }
    this.#at++;
    this.items = items;
    this.inexact = inexact;
    this.duplicateKey = duplicateKey;
    return array;
  }

  #readString(): string {
    const start = this.#at;
    const end = endOfString(this.#text, start + 1);
    this.#at = end + 1;
    const inside = this.#text.slice(start + 1, end);
    return inside.includes('\\') ? JSON.parse(this.#text.slice(start, end + 1)) : inside;
  }

  #readNumber(): number | bigint | ExactNumber {
    numberEnd.lastIndex = this.#at;
    const end = numberEnd.exec(this.#text)?.index ?? this.#text.length;
    const text = this.#text.slice(this.#at, end);
    this.#at = end;
    if (isDoubleExact(text)) return Number(text);
    this.inexact = true;
    return wholeNumber(text) ?? new ExactNumber(text);
  }

  #next(): string {
    this.#skipSpace();
    return this.#text[this.#at]!;
  }

  #skipSpace(): void {
    for (;;) {
      const c = this.#text.charCodeAt(this.#at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.#at++;
    }
  }
}

/** JSON text of a value of `parseExactJson`, each number as it was. */
export function writeExactJson(value: unknown): string {
  return JSON.stringify(value, (_key, part) =>
    typeof part === 'bigint'
      ? rawJson(part.toString())
      : part instanceof ExactNumber
        ? rawJson(part.text)
        : part,
  );
}

/** Newer than the types. Source: https://github.com/tc39/proposal-json-parse-with-source */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown };
