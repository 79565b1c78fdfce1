import { createMemoryObjects } from '../../../adapters/objects/memoryObjectStore.ts';
import { objectStoreConformance } from '../../conformance/objects.ts';

objectStoreConformance('memory', async () => createMemoryObjects());
