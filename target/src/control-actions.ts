import { ControlProblem, type ControlAction } from '@openebs/replica/runtime';
import { CONTROL_LIMITS } from './limits.ts';
import {
  ChangeRefused,
  parseReplicaAddress,
  type Replicator,
  type Scrub,
} from './replicator/index.ts';

type Actions = Readonly<Record<string, ControlAction>>;

/** What the control API changes on a volume that runs. */
export const targetActions = (replicator: Replicator, scrub: Scrub | null): Actions => ({
  'PUT /v1/replicas': async (body) => {
    const addresses = replicaList(body);
    await refusable(() => replicator.assembly.declare(addresses));
    return { replicas: addresses };
  },
  'PUT /v1/departures': async (body) => {
    const ids = fieldOf(body, 'replicaIds');
    if (!Array.isArray(ids) || ids.length === 0 || !ids.every((id) => typeof id === 'string')) {
      throw invalid('"replicaIds" must be a list of the ids of replicas');
    }
    await refusable(() => replicator.assembly.electorate.confirmDeparted(ids));
    return { replicaIds: ids };
  },
  'PUT /v1/size': async (body) => {
    const sizeBytes = fieldOf(body, 'sizeBytes');
    if (typeof sizeBytes !== 'number' || !Number.isSafeInteger(sizeBytes) || sizeBytes <= 0) {
      throw invalid('"sizeBytes" must be a whole number');
    }
    await refusable(() => replicator.assembly.growth.grow(sizeBytes));
    return { sizeBytes: replicator.sizeBytes };
  },
  // One that runs already is as good; /v1/status tells how far it is.
  'POST /v1/scrub': () => Promise.resolve(scrub?.request() ?? null),
});

/** How fast replicas that come back are filled. `phase` is null while none is. */
export const describePace = ({ assembly }: Replicator) => {
  const { limitBytesPerSecond, phase } = assembly.resync.pace;
  return {
    limitBytesPerSecond: limitBytesPerSecond === Infinity ? null : limitBytesPerSecond,
    phase,
  };
};

/** `{"replicas": ["unix:/...", "host:port"]}`: who shall be members, and nobody else. */
const replicaList = (body: unknown): string[] => {
  const list = fieldOf(body, 'replicas');
  if (!Array.isArray(list) || list.length === 0 || list.length > CONTROL_LIMITS.replicas) {
    throw invalid(`"replicas" must be a list of 1 to ${CONTROL_LIMITS.replicas} addresses`);
  }
  const addresses = list.map((item: unknown) => {
    if (typeof item !== 'string') throw invalid('each address must be a string');
    try {
      return parseReplicaAddress(item);
    } catch (error) {
      throw invalid(error instanceof Error ? error.message : String(error));
    }
  });
  if (new Set(addresses).size < addresses.length) throw invalid('name each replica once');
  return addresses;
};

const fieldOf = (body: unknown, name: string): unknown =>
  typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;

const invalid = (detail: string): ControlProblem => new ControlProblem(400, 'Bad request', detail);

const refusable = async (change: () => Promise<void> | void): Promise<void> => {
  try {
    await change();
  } catch (error) {
    if (error instanceof ChangeRefused) throw new ControlProblem(409, 'Conflict', error.message);
    throw error;
  }
};
