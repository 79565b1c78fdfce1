import { createMemoryObjects } from '../../adapters/objects/memory.ts';
import { objectStoreConformance } from '../conformance/objects.ts';

objectStoreConformance('memory', async () => createMemoryObjects());
