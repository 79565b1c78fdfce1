import v8 from 'node:v8';
import { isMainThread } from 'node:worker_threads';

/*
 * Loaded before a worker (`--import`), and so before each of its threads: the SDK (1.24) then takes no stack trace, with source maps, of
 * every promise that a workflow makes, which was the largest part of what the thread of workflows did. What is lost is the answer to
 * the query `__stack_trace`; where a run stands is in its current details, and errors keep their stacks.
 */

if (!isMainThread) v8.promiseHooks.createHook = () => () => {};
