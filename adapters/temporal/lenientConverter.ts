import { DefaultPayloadConverter, type Payload } from '@temporalio/common';

/**
 * Reads payloads in workflows. Any client of Temporal can send a message, or complete an activity, with bytes that cannot be decoded. A
 * converter that throws fails the workflow task again and again, and the run stands still for good. So such a payload reads as
 * `undefined`, which its handler rejects like any other invalid value.
 */
class LenientConverter extends DefaultPayloadConverter {
  override fromPayload<T>(payload: Payload): T {
    try {
      return super.fromPayload<T>(payload);
    } catch {
      return undefined as T;
    }
  }
}

/** The bundle finds the converter by this name. */
export const payloadConverter = new LenientConverter();
