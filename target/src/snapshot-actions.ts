import { ControlProblem, type ControlAction } from '@openebs/replica/runtime';
import type { TargetFacts } from './facts.ts';
import { LayerError, snapshotsOf, type LayerErrorCode } from './replicator/index.ts';

type Actions = Readonly<Record<string, ControlAction>>;

const STATUS: Readonly<Record<LayerErrorCode, { status: number; title: string }>> = {
  NAME: { status: 400, title: 'The name is not valid' },
  NOT_FOUND: { status: 404, title: 'There is no such snapshot' },
  EXISTS: { status: 409, title: 'The snapshot exists already' },
  LIMIT: { status: 409, title: 'The volume has too many snapshots' },
  IN_USE: { status: 409, title: 'Initiators use the volume' },
  NOT_READY: { status: 503, title: 'The volume is not ready' },
};

/** POST /v1/snapshots {name}; DELETE /v1/snapshots/:name; POST /v1/snapshots/:name/revert. */
export const snapshotActions = (facts: TargetFacts): Actions => {
  const { replicator } = facts;
  if (replicator === null) return {};
  const { layers } = replicator.assembly;
  return {
    'POST /v1/snapshots': (body) =>
      told(() => layers.snapshot(textOf(body, 'name'), new Date().toISOString())),
    'DELETE /v1/snapshots/:name': (_, { name = '' }) => told(() => layers.delete(name)),
    'POST /v1/snapshots/:name/revert': (body, { name = '' }) =>
      told(async () => {
        const now = new Date();
        if (!isForced(body)) requireNobody(facts);
        const keptAs = optionalTextOf(body, 'keepAs') ?? `before-revert-${compact(now)}`;
        return layers.revert(name, keptAs, now.toISOString());
      }),
  };
};

/** GET /v1/snapshots */
export const describeSnapshots = ({ replicator }: TargetFacts) => {
  const tree = replicator?.assembly.layers.tree ?? null;
  return {
    snapshots:
      tree === null
        ? null
        : snapshotsOf(tree).map(({ id, name, createdAt }) => ({ layer: id, name, createdAt })),
  };
};

/** A file system that is mounted, or a cache, would go on with what it knows of other blocks. */
const requireNobody = ({ server }: TargetFacts): void => {
  const sessions = server()?.sessions() ?? [];
  if (sessions.length === 0) return;
  const who = [...new Set(sessions.map(({ initiatorName }) => initiatorName))].join(', ');
  throw new LayerError(
    'IN_USE',
    `${sessions.length} session(s) are open: ${who}; a revert under a mounted file system destroys it: unmount and log out there first, or force it`,
  );
};

const told = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof LayerError)) throw error;
    const { status, title } = STATUS[error.code];
    throw new ControlProblem(status, title, error.message);
  }
};

const fieldOf = (body: unknown, field: string): unknown =>
  typeof body === 'object' && body !== null
    ? (body as Readonly<Record<string, unknown>>)[field]
    : undefined;

const textOf = (body: unknown, field: string): string => {
  const text = optionalTextOf(body, field);
  if (text !== null) return text;
  throw new ControlProblem(400, 'Bad request', `send {"${field}": "..."}`);
};

const optionalTextOf = (body: unknown, field: string): string | null => {
  const value = fieldOf(body, field);
  if (value === undefined) return null;
  if (typeof value === 'string') return value;
  throw new ControlProblem(400, 'Bad request', `${field} is a text`);
};

const isForced = (body: unknown): boolean => fieldOf(body, 'force') === true;

/** `20261124-103000` */
const compact = (at: Date): string =>
  at.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
