import { ApplicationFailure, CancellationScope, condition, log, setHandler } from '@temporalio/workflow';
import type { Awaited } from '../activities/awaited.ts';
import type { ApprovalState } from '../domain/approval.ts';
import type { DecisionMessage } from '../domain/decision.ts';
import { reasonOf } from './failure.ts';
import { decide, decideBySignal, type RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';

const waitingMax = 100;
const messageBytesMax = 16 * 1024;

interface Waiting {
  message: DecisionMessage;
  counted(state: ApprovalState): void;
  refused(code: string): void;
}

/**
 * What people have decided, one after the other in the order in which it came. Whoever reaches Temporal can send a message, and its
 * handler acts as its sender; so a handler only queues, and the run itself, under its own grant, has an activity verify what was
 * brought. That goes on for as long as the run does, wherever it stands, so that each decision is answered and recorded. Nothing
 * is dropped unseen but what no caller of Waybill would send: too large, of another shape, or more than can wait.
 */
export class Decisions {
  private readonly waiting: Waiting[] = [];
  private working = false;
  private readonly input: RunInput;
  private readonly onApproval: (approval: Awaited) => void;

  /** @param onApproval hears how the approval stands after each decision that could be looked at */
  constructor(input: RunInput, onApproval: (approval: Awaited) => void) {
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
        this.waiting.push({ message: message as DecisionMessage, counted: () => {}, refused: () => {} });
      } catch {
        log.warn('dropped a signal that cannot be a decision');
      }
    });
    // A run that is cancelled still answers what was brought before.
    if (input.gate) void CancellationScope.nonCancellable(() => this.work());
  }

  /** Whether all that was brought is answered. */
  get idle(): boolean {
    return this.waiting.length === 0 && !this.working;
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
    if (this.input.gate === undefined) throw refusal('ApprovalUnknown');
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
