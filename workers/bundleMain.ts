import { bundleWorkflows } from '../adapters/temporal/bundleWorkflows.ts';

// `npm run bundle -- FILE`: what an image runs once, so that its workers need not.
await bundleWorkflows(process.argv[2] ?? 'dist/workflows.js');
