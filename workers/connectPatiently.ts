import { NativeConnection } from '@temporalio/worker';

/** The SDK does not retry a worker’s first connect, so this does. `undefined` once the signal aborts. */
export async function connectPatiently(
  address: string,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<NativeConnection | undefined> {
  for (let delayMs = 250; !signal.aborted; delayMs = Math.min(delayMs * 2, 5_000)) {
    try {
      return await NativeConnection.connect({ address });
    } catch (error) {
      onError(error);
      await new Promise<void>((resolve) => setTimeout(resolve, delayMs * (0.5 + Math.random() / 2)));
    }
  }
  return undefined;
}
