import { hash } from 'node:crypto';
import { columnText } from '../../connectors/sinks/postgres/columnText.ts';
import type { Manifest, SqlType } from '../../domain/pipelines/manifest.ts';
import { compareBy } from '../../domain/quality/describeQuality.ts';
import {
  type Measure,
  type Measures,
  type QualityRuleManifest,
  qualityKeyBytes,
} from '../../domain/quality/quality.ts';

/** What quality rules see of the rows of a batch. `keys`: of `unique` rules, in base64. */
export interface Measured {
  measures: Measures;
  keys?: string;
}

/**
 * Measures the rows of one batch, as the sink gets them, for the quality rules of the definition. It compares the text of a column, in
 * which equal values are equal.
 */
export class QualityMeter {
  readonly #measures: Record<string, Measure> = {};
  readonly #see: ((row: Row) => void)[] = [];
  #keys = Buffer.alloc(0);
  #keysBytes = 0;

  constructor({ quality, sink }: Pick<Manifest, 'sink' | 'quality'>) {
    const types = new Map(sink.columns.map(({ name, type }) => [name, type]));
    for (const [ordinal, rule] of (quality?.rules ?? []).entries()) {
      const measure: Measure = { rows: 0, off: 0 };
      const see = this.#seer(rule, ordinal, measure, (name) => types.get(name)!);
      if (!see) continue;
      this.#measures[rule.name] = measure;
      this.#see.push(see);
    }
  }

  add(rows: readonly Row[]): void {
    for (const row of rows) for (const see of this.#see) see(row);
  }

  finish(): Measured {
    return {
      measures: this.#measures,
      ...(this.#keysBytes > 0 && { keys: this.#keys.toString('base64', 0, this.#keysBytes) }),
    };
  }

  /** `undefined` for a rule that looks at no row. */
  #seer(
    rule: QualityRuleManifest,
    ordinal: number,
    measure: Measure,
    typeOf: (column: string) => SqlType,
  ): ((row: Row) => void) | undefined {
    switch (rule.kind) {
      case 'complete': {
        const text = reader(rule.column, typeOf);
        return (row) => {
          measure.rows++;
          if (text(row) === null) measure.off++;
        };
      }
      case 'range': {
        const { column, min, max } = rule;
        const compare = compareBy(typeOf(column));
        return ofValues(reader(column, typeOf), (value) => {
          measure.rows++;
          const isInside =
            (min === undefined || compare(value, min) >= 0) &&
            (max === undefined || compare(value, max) <= 0);
          if (!isInside) measure.off++;
        });
      }
      case 'set': {
        const values = new Set(rule.values);
        return ofValues(reader(rule.column, typeOf), (value) => {
          measure.rows++;
          if (!values.has(value)) measure.off++;
        });
      }
      case 'fresh':
        return ofValues(reader(rule.column, typeOf), (value) => {
          measure.rows++;
          measure.newestMs = Math.max(measure.newestMs ?? -Infinity, Date.parse(value));
        });
      case 'unique': {
        const texts = rule.columns.map((column) => reader(column, typeOf));
        return (row) => {
          const key = texts.map((text) => text(row));
          if (key.includes(null)) return;
          measure.rows++;
          this.#keep(ordinal, key.length === 1 ? key[0]! : JSON.stringify(key));
        };
      }
      default:
        return undefined;
    }
  }

  #keep(ordinal: number, text: string): void {
    const end = this.#keysBytes + qualityKeyBytes;
    if (end > this.#keys.length) {
      const larger = Buffer.alloc(Math.max(1024 * qualityKeyBytes, this.#keys.length * 2));
      this.#keys.copy(larger);
      this.#keys = larger;
    }
    this.#keys[this.#keysBytes] = ordinal;
    hash('sha256', text, 'buffer').copy(this.#keys, this.#keysBytes + 1, 0, qualityKeyBytes - 1);
    this.#keysBytes = end;
  }
}

type Row = Record<string, unknown>;

function reader(column: string, typeOf: (column: string) => SqlType): (row: Row) => string | null {
  const type = typeOf(column);
  // The sink has taken the row, so each value has a text.
  return (row) => columnText(type, row[column]) as string | null;
}

function ofValues(text: (row: Row) => string | null, see: (value: string) => void): (row: Row) => void {
  return (row) => {
    const value = text(row);
    if (value !== null) see(value);
  };
}
