import {
  ApplicationFailure,
  CancellationScope,
  condition,
  log,
  patched,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { ApprovalStatus } from '../activities/approvalStatus.ts';
import type { ApprovalState } from '../domain/approvals/approval.ts';
import type { DecisionMessage } from '../domain/approvals/decision.ts';
import { reasonOf } from './failure.ts';
import { decide, decideBySignal, type RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';

const waitingMax = 100;
const messageBytesMax = 16 * 1024;

/** Signals that cannot be decisions and are recorded all the same, of those that come within a minute. */
const unreadableMax = 10;
/** Nothing of such a signal is passed on: the step finds that this is no decision, and records that. */
const unreadable = {} as DecisionMessage;

interface Waiting {
  message: DecisionMessage;
  counted(state: ApprovalState): void;
  refused(code: string): void;
}

/** Whoever sends a signal hears nothing back. */
const nobody = { counted: () => {}, refused: () => {} };

/**
 * What people have decided, one after the other in the order in which it came. Whoever reaches Temporal can send a message, and its
 * handler acts as its sender; so a handler only queues, and the run itself, under its own grant, has an activity verify what was
 * brought. That goes on for as long as the run does, wherever it stands, so that each decision is answered and recorded. What no
 * caller of Waybill would send, too large or of another shape, is refused where it comes as an update, and recorded where it comes
 * as a signal, so many in a minute. Dropped unseen is only what is more than can wait.
 */
export class Decisions {
  private readonly waiting: Waiting[] = [];
  private working = false;
  /** Signals of this minute that cannot be decisions. */
  private recorded = 0;
  private readonly input: RunInput;
  private readonly onApproval: (approval: ApprovalStatus) => void;

  /** @param onApproval hears how the approval stands after each decision that could be looked at */
  constructor(input: RunInput, onApproval: (approval: ApprovalStatus) => void) {
    this.input = input;
    this.onApproval = onApproval;
    setHandler(
      decide,
      (message) =>
        new Promise((resolve, reject) => {
          this.waiting.push({
            message,
            counted: (state) => resolve({ counted: true, state }),
            refused: (code) => reject(refusal(code)),
          });
        }),
      { validator: (message) => this.check(message) },
    );
    setHandler(decideBySignal, (message) => {
      try {
        this.check(message as DecisionMessage);
        this.waiting.push({ message: message as DecisionMessage, ...nobody });
      } catch {
        log.warn('dropped a signal that cannot be a decision');
        this.record();
      }
    });
    // A run that is cancelled still answers what was brought before.
    if (input.gate) void CancellationScope.nonCancellable(() => this.work());
  }

  /** Whether all that was brought is answered. */
  get idle(): boolean {
    return this.waiting.length === 0 && !this.working;
  }

  private record(): void {
    // A run that had such a signal before they were recorded goes on as it began.
    if (this.input.gate === undefined || this.waiting.length >= waitingMax || !patched('signals-recorded'))
      return;
    if (this.recorded === 0) void this.forgetInAMinute();
    if (this.recorded++ < unreadableMax) this.waiting.push({ message: unreadable, ...nobody });
  }

  private async forgetInAMinute(): Promise<void> {
    await CancellationScope.nonCancellable(() => sleep('1 minute'));
    this.recorded = 0;
  }

  private async work(): Promise<never> {
    for (;;) {
      await condition(() => this.waiting.length > 0);
      this.working = true;
      await this.take(this.waiting.shift()!);
      this.working = false;
    }
  }

  private async take({ message, counted, refused }: Waiting): Promise<void> {
    try {
      const decided = await stepsOf(this.input).decide(message);
      if (decided.approval) this.onApproval(decided.approval);
      if (decided.counted === true) counted(decided.approval!.state);
      else refused(decided.counted);
    } catch (error) {
      // Whatever a message makes of the step, it ends no run.
      refused(reasonOf(error).code);
    }
  }

  private check(message: DecisionMessage): void {
    if (this.input.gate === undefined) throw refusal('ApprovalNotFound');
    if (this.waiting.length >= waitingMax) throw refusal('TooManyRequests');
    const { token, comment, form } = message ?? {};
    const shaped =
      typeof token === 'string' &&
      (comment == null || typeof comment === 'string') &&
      (form == null || (typeof form === 'object' && !Array.isArray(form)));
    if (!shaped || bytesOf(message) > messageBytesMax) throw refusal('DecisionInvalid');
  }
}

function bytesOf(message: unknown): number {
  return new TextEncoder().encode(JSON.stringify(message)).length;
}

function refusal(code: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: code,
    message: 'The decision counts for nothing.',
    nonRetryable: true,
  });
}
