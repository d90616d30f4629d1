/**
 *     login --> full-feature --> finishing --> closed
 *        \____________\______________________/
 *
 * finishing: the last response is on its way and nothing more is read. RFC 7143 8.1
 */
export type ConnectionState = 'login' | 'full-feature' | 'finishing' | 'closed';

const TRANSITIONS: Readonly<Record<ConnectionState, readonly ConnectionState[]>> = {
  login: ['full-feature', 'finishing', 'closed'],
  'full-feature': ['finishing', 'closed'],
  finishing: ['closed'],
  closed: [],
};

export const isTransitionValid = (from: ConnectionState, to: ConnectionState): boolean =>
  TRANSITIONS[from].includes(to);
