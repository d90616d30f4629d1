import type { Member } from './member.ts';

/** As people see a member. */
export type MemberMode = 'in-sync' | 'syncing' | 'offline';

/**
 * A witness has no data that could be out of step; a copy that has promised waits to be
 * resynchronised.
 */
export const modeOf = (
  { state, identity }: Member,
  { serving, isVoter }: { readonly serving: boolean; readonly isVoter: boolean },
): MemberMode => {
  switch (state.kind) {
    case 'in-sync':
      return 'in-sync';
    case 'syncing':
    case 'joining':
      return serving ? 'syncing' : 'offline';
    case 'promised':
      if (!serving) return 'offline';
      return identity?.role === 'witness' && isVoter ? 'in-sync' : 'syncing';
    default:
      return 'offline';
  }
};
