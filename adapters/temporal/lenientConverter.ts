import { DefaultPayloadConverter, type Payload } from '@temporalio/common';

/**
 * How workflows read what reaches them. Whoever reaches Temporal can send a message, or complete an activity, with bytes that nobody
 * can read; where reading them throws, the workflow task fails, again and again, and the run stands still for good. So what cannot be
 * read is nothing, which whoever it was meant for refuses like any other nonsense.
 */
class PatientConverter extends DefaultPayloadConverter {
  override fromPayload<T>(payload: Payload): T {
    try {
      return super.fromPayload<T>(payload);
    } catch {
      return undefined as T;
    }
  }
}

/** The name by which the bundle finds it. */
export const payloadConverter = new PatientConverter();
