import { z } from 'zod';
import type { Boundaries, FormatKind } from '../../../domain/connectors/formatKind.ts';
import { readText, textLayout } from '../textRecords.ts';
import { readJson } from './readJson.ts';

/** One JSON object a line (`application/x-ndjson`), UTF-8. Empty lines are skipped. */
export function ndjson(): { name: 'ndjson' } {
  return { name: 'ndjson' };
}

export const ndjsonFormat: FormatKind = {
  name: 'ndjson',
  summary: 'One JSON object a line.',
  mediaType: 'application/x-ndjson',
  options: z.object({}),
  locates: 'line',
  growing: true,
  takesRecords: true,
  create(manifest) {
    return {
      kind: ndjsonFormat,
      manifest,
      isJson: true,
      layout: textLayout(() => lines, {
        advice: () => 'Convert it to UTF-8.',
        mistakenFor: (text) =>
          /^\s*\[/.test(text)
            ? 'The data is a JSON array. Declare json(), or send one object a line.'
            : undefined,
      }),
      read: (batch, bytes, visit) => readText(batch, bytes, lines, readLine, visit),
    };
  },
};

function readLine(text: string | undefined) {
  return text === undefined ? 'InvalidUtf8' : readJson(text);
}

const lines: Boundaries = {
  step: 1,
  unfinished: undefined,
  next(chunk, from) {
    const at = chunk.indexOf(0x0a, from);
    return at < 0 ? -1 : at + 1;
  },
};
