import { styleText } from 'node:util';
import { plain } from '../../cli/output/terminal.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { Scene } from './scene.ts';

/** One thing that an attacker tries, and how it has to be refused. */
export interface Attack {
  tried: string;
  code: ErrorCode;
  /** Returns the code of the rejection, or none, and the run of which the audit has to show it, if there is one. */
  attempt(scene: Scene): Promise<Outcome | string | undefined>;
}

interface Outcome {
  code: string | undefined;
  runId?: string;
}

export interface Attempted {
  tried: string;
  /** How it was refused; `null` where it was not. */
  refused: string | null;
  expected: ErrorCode;
  /** Whether any row that belongs to the victim or to the attack came, went or changed. */
  touched: boolean;
  audited: boolean;
  /** Refused as it has to be, nothing touched, and on record. */
  held: boolean;
}

/** Tries one thing, and looks at what it has left behind. */
export async function attempt(scene: Scene, { tried, code: expected, attempt }: Attack): Promise<Attempted> {
  const before = await scene.ledger.read();
  const outcome = await attempt(scene);
  const { code, runId } = typeof outcome === 'object' ? outcome : { code: outcome, runId: undefined };
  const touched = (await scene.ledger.read()) !== before;
  const audited = runId === undefined || (await scene.ledger.isAudited(runId, expected));
  const held = code === expected && !touched && audited;
  return { tried, refused: code ?? null, expected, touched, audited, held };
}

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

/** The code of the rejection with which a workflow or an update fails; `undefined` if it does not fail. */
export async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    // Ours is the type of the innermost failure; what has none failed for another reason.
    for (let cause = error; cause instanceof Error; cause = cause.cause)
      if ('type' in cause && typeof cause.type === 'string' && cause.type) return cause.type;
    throw error;
  }
}
