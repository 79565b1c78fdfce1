import { styleText } from 'node:util';
import { plain } from '../../cli/output/terminal.ts';
import type { Attempted } from './attack.ts';

/** What was tried, and how it went: a line, and a second where something is wrong. */
export function attemptLines({ tried, refused, expected, touched, audited, held }: Attempted): string[] {
  const mark = held ? styleText('green', '✓') : styleText('red', '✗');
  const line = `${mark} ${tried}: ${refused === null ? 'not refused' : plain(refused)}`;
  if (held) return [line];
  const wrong = [
    refused !== expected && `it has to be ${expected}`,
    touched && 'something was touched',
    !audited && 'it is not in the audit',
  ];
  return [line, `  ${wrong.filter(Boolean).join('; ')}`];
}
