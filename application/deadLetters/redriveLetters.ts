import { leastMsOf } from '../../domain/deadLetters/throttle.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { checkThrottle, type LettersRequest } from '../runs/acceptLetters.ts';
import { acceptRun } from '../runs/acceptRun.ts';
import { authorizeRun } from '../runs/authorizeRun.ts';
import { chosenLetters, lettersMax, pipelineOfLetters } from './chooseLetters.ts';

export interface RedrivePreview {
  pipeline: string;
  letters: number;
  /** How many of them were edited. */
  repaired: number;
  /** Whether more fit than one redrive takes. */
  more: boolean;
  /** How long it takes at least, where it is throttled. */
  leastMs?: number;
}

type Ports = Parameters<typeof acceptRun>[0] & Pick<ApplicationPorts, 'auditLog'>;

/**
 * Sends open dead letters through their pipeline again: a run under the grant of the caller, which passes the pipeline’s gate. Throws
 * what `acceptLetters` throws, and `Forbidden`.
 */
export async function redriveLetters(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  request: LettersRequest,
): Promise<Run> {
  const pipeline = await pipelineOfLetters(ports, authorization, request.choice);
  checkSink(pipeline);
  const decisions = await authorizeRun(ports, { ...authorization, pipeline }, [], 'redrive');
  const policies = [...new Set(decisions.flatMap((decision) => decision.policies))];
  const policyDigest = decisions[0]!.digest;
  const caller = { ...authorization, pipeline, policies, policyDigest };
  const { run } = await acceptRun(ports, options, caller, { kind: 'letters', ...request });
  return run;
}

/** The letters alone would take the place of all rows. */
function checkSink({ manifest }: LoadedPipeline): void {
  if (manifest.sink.atEnd === 'replace') throw new WaybillError('RedriveUnsupported');
}

/** What a redrive would send. Throws what it would throw. */
export async function previewRedrive(
  ports: Ports,
  authorization: Authorization,
  { choice, throttle }: Pick<LettersRequest, 'choice' | 'throttle'>,
): Promise<RedrivePreview> {
  const pipeline = await pipelineOfLetters(ports, authorization, choice);
  checkSink(pipeline);
  await authorizeRun(ports, { ...authorization, pipeline }, [], 'redrive');
  let letters = 0;
  let repaired = 0;
  for await (const page of chosenLetters(ports, authorization, 'redrive', choice, { max: lettersMax + 1 })) {
    letters += page.letters.length;
    repaired += page.letters.filter(({ edit }) => edit !== null).length;
  }
  if (letters === 0) throw new WaybillError('NoOpenDeadLetters');
  const sent = Math.min(letters, lettersMax);
  if (throttle !== undefined) checkThrottle({ pipeline }, throttle, sent);
  return {
    pipeline: pipeline.manifest.id,
    letters: sent,
    ...(throttle !== undefined && { leastMs: leastMsOf(throttle, sent) }),
    repaired,
    more: letters > lettersMax,
  };
}
