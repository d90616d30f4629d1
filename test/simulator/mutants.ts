import type { Mutant } from './mutant.ts';
import { CLONE_MUTANTS } from './mutants-of-clones.ts';
import { LAYER_MUTANTS, SERVER_MUTANTS, STORE_MUTANTS } from './mutants-of-replica.ts';
import {
  LEASE_MUTANTS,
  MANAGEMENT_MUTANTS,
  MEMBERSHIP_MUTANTS,
  STREAM_MUTANTS,
} from './mutants-of-target.ts';
import { REPAIR_MUTANTS, SCRUB_MUTANTS } from './mutants-of-scrub.ts';

/** Bugs as people make them in such code. The product itself has no switch for any of them. */
export const MUTANTS: readonly Mutant[] = [
  ...LEASE_MUTANTS,
  ...MEMBERSHIP_MUTANTS,
  ...STREAM_MUTANTS,
  ...MANAGEMENT_MUTANTS,
  ...REPAIR_MUTANTS,
  ...SERVER_MUTANTS,
  ...STORE_MUTANTS,
  ...LAYER_MUTANTS,
  ...SCRUB_MUTANTS,
  ...CLONE_MUTANTS,
];
