import { workerFromEnvironment } from '../../workers/main.ts';

/*
 * A worker that never gets from sending an event to writing down that it was taken, so that a kill at that moment is certain
 * to hit.
 */
await workerFromEnvironment((deps) => ({
  ...deps,
  sender: {
    async send(message) {
      await deps.sender.send(message);
      return new Promise(() => {});
    },
  },
}));
