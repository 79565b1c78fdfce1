import {
  ApplicationFailure,
  CancellationScope,
  condition,
  log,
  setHandler,
  sleep,
} from '@temporalio/workflow';
import type { ApprovalStatus } from '../activities/processApprovalTimers.ts';
import type { ApprovalState } from '../domain/approvals/approval.ts';
import type { DecisionMessage } from '../domain/approvals/decision.ts';
import { reasonOf } from './failure.ts';
import { decide, decideBySignal, type RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';

const waitingMax = 100;
const messageBytesMax = 16 * 1024;

/** How many unreadable signals are recorded per minute. */
const unreadablePerMinuteMax = 10;
/** Replaces an unreadable signal: the step finds that this is no decision, and records that. */
const unreadable = {} as DecisionMessage;

interface Waiting {
  message: DecisionMessage;
  counted(state: ApprovalState): void;
  rejected(code: string): void;
}

/** A signal has no answer. */
const noAnswer = { counted: () => {}, rejected: () => {} };

/**
 * The queue of decisions, in order of arrival. Every client that reaches Temporal can send a message, and its
 * handler acts as its sender. So a handler only queues, and the run itself, under its own grant, has an activity verify the
 * decision. This works in every state of the run, so that each decision is answered and recorded. A message that is too large or
 * malformed is rejected as an update; as a signal it is recorded, up to ten a minute. The run drops only what exceeds the
 * queue.
 */
export class Decisions {
  private readonly waiting: Waiting[] = [];
  private working = false;
  /** Unreadable signals recorded in this minute. */
  private recorded = 0;
  private readonly input: RunInput;
  private readonly onApproval: (approval: ApprovalStatus) => void;

  /** @param onApproval receives the approval’s state after each verified decision */
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
            rejected: (code) => reject(rejection(code)),
          });
        }),
      { validator: (message) => this.check(message) },
    );
    setHandler(decideBySignal, (message) => {
      try {
        this.check(message as DecisionMessage);
        this.waiting.push({ message: message as DecisionMessage, ...noAnswer });
      } catch {
        log.warn('dropped a signal that cannot be a decision');
        this.record();
      }
    });
    // A cancelled run still answers the decisions that arrived before.
    if (input.gate) void CancellationScope.nonCancellable(() => this.work());
  }

  /** Whether every decision is answered. */
  get idle(): boolean {
    return this.waiting.length === 0 && !this.working;
  }

  private record(): void {
    if (this.input.gate === undefined || this.waiting.length >= waitingMax) return;
    if (this.recorded === 0) void this.resetAfterOneMinute();
    if (this.recorded++ < unreadablePerMinuteMax) this.waiting.push({ message: unreadable, ...noAnswer });
  }

  private async resetAfterOneMinute(): Promise<void> {
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

  private async take({ message, counted, rejected }: Waiting): Promise<void> {
    try {
      const decided = await stepsOf(this.input).decide(message);
      if (decided.approval) this.onApproval(decided.approval);
      if (decided.counted === true) counted(decided.approval!.state);
      else rejected(decided.counted);
    } catch (error) {
      // A message never ends the run.
      rejected(reasonOf(error).code);
    }
  }

  private check(message: DecisionMessage): void {
    if (this.input.gate === undefined) throw rejection('ApprovalNotFound');
    if (this.waiting.length >= waitingMax) throw rejection('TooManyRequests');
    const { token, comment, form } = message ?? {};
    const shaped =
      typeof token === 'string' &&
      (comment == null || typeof comment === 'string') &&
      (form == null || (typeof form === 'object' && !Array.isArray(form)));
    if (!shaped || bytesOf(message) > messageBytesMax) throw rejection('DecisionInvalid');
  }
}

function bytesOf(message: unknown): number {
  return new TextEncoder().encode(JSON.stringify(message)).length;
}

function rejection(code: string): ApplicationFailure {
  return ApplicationFailure.create({
    type: code,
    message: 'The run rejected the decision. Read the code, then decide again.',
    nonRetryable: true,
  });
}
