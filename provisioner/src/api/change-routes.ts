import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Orchestrator, ReplicaView, VolumeView } from '../orchestrator/orchestrator.ts';
import { chapOf, type ChapBody } from '../chap.ts';
import { Problem } from '../problem.ts';
import { formatSize, parseSize, volumeSize } from '../size.ts';
import type { ApiContext } from './app.ts';
import type { Operation, Progress } from './operations.ts';
import { requireMatch, requireVolume } from './volume-lookup.ts';
import { accepted, nameParams, problems, replicaParams } from './schemas.ts';
import { changeVolumeBody } from './volume-bodies.ts';

interface ChangeBody {
  readonly size?: string;
  readonly sizeBytes?: number;
  readonly replicas?: number;
  readonly chap?: ChapBody | null;
  readonly rebuildBytesPerSecond?: number | null;
}

interface ReplicaParams {
  readonly name: string;
  readonly replica: string;
}

const POLL_MS = 100;
/** A target refuses also what it takes a moment later, when a replica is connected again. */
const REFUSAL_MS = 30_000;

export function changeRoutes(app: FastifyInstance, context: ApiContext): void {
  const { orchestrator } = context;
  const inOrder = makeQueue();
  const shared = { tags: ['volumes'], response: { 202: accepted, ...problems } };
  const locate = (operation: Operation): Record<string, string> => ({
    location: `/v1/operations/${operation.id}`,
  });

  app.patch<{
    Params: { name: string };
    Body: ChangeBody;
    Headers: { 'if-match'?: string };
  }>(
    '/v1/volumes/:name',
    {
      schema: {
        ...shared,
        operationId: 'changeVolume',
        summary: 'Grow a volume, or change how many replicas it has, and its settings',
        description:
          'While it serves. Answered when it is recorded; the operation follows it. With If-Match, only the volume that was seen.',
        params: nameParams,
        body: changeVolumeBody,
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const operation = await inOrder(async () => {
        requireMatch(request.headers['if-match'], await requireVolume(orchestrator, name));
        return beginChange(context, name, request.body);
      });
      return reply.code(202).headers(locate(operation)).send(operation);
    },
  );

  app.post<{ Params: { name: string } }>(
    '/v1/volumes/:name/replicas',
    {
      schema: {
        ...shared,
        operationId: 'addReplica',
        summary: 'Add a replica; it is filled while the volume serves',
        params: nameParams,
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      await inOrder(() => orchestrator.changeVolume(name, { kind: 'add-replica' }));
      const operation = follow(context, 'replica-add', name);
      return reply.code(202).headers(locate(operation)).send(operation);
    },
  );

  app.delete<{ Params: ReplicaParams }>(
    '/v1/volumes/:name/replicas/:replica',
    {
      schema: {
        ...shared,
        operationId: 'removeReplica',
        summary: 'Remove a replica and its data',
        description: 'Refused when no other one holds everything.',
        params: replicaParams,
      },
    },
    async (request, reply) => {
      const { name, replica } = request.params;
      await inOrder(() => orchestrator.changeVolume(name, { kind: 'remove-replica', replica }));
      const operation = follow(context, 'replica-remove', name);
      return reply.code(202).headers(locate(operation)).send(operation);
    },
  );

  restartRoute(app, context);
}

type InOrder = <T>(work: () => Promise<T>) => Promise<T>;

/** One after the other, so that no volume changes between its If-Match and what that allows. */
function makeQueue(): InOrder {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => undefined);
    return done;
  };
}

function restartRoute(app: FastifyInstance, { orchestrator }: ApiContext): void {
  app.post<{ Params: ReplicaParams }>(
    '/v1/volumes/:name/replicas/:replica/restart',
    {
      schema: {
        operationId: 'restartReplica',
        summary: 'Kill the process of a replica; it is started again and brought up to date',
        tags: ['volumes'],
        params: replicaParams,
        response: { 200: { $ref: 'Volume#' }, ...problems },
      },
    },
    (request) => orchestrator.killReplica(request.params.name, request.params.replica),
  );
}

async function beginChange(
  context: ApiContext,
  name: string,
  body: ChangeBody,
): Promise<Operation> {
  const { orchestrator } = context;
  if (body.size !== undefined || body.sizeBytes !== undefined) {
    const size = volumeSize(body.sizeBytes ?? parseSize(body.size ?? '') ?? NaN);
    if ('reason' in size) throw new Problem('size-invalid', size.reason);
    await orchestrator.changeVolume(name, { kind: 'resize', sizeBytes: size.bytes });
  }
  if (body.chap !== undefined) {
    await orchestrator.changeVolume(name, { kind: 'chap', chap: chapOf(body.chap) });
  }
  if (body.rebuildBytesPerSecond !== undefined) {
    const bytesPerSecond = body.rebuildBytesPerSecond;
    await orchestrator.changeVolume(name, { kind: 'rebuild-rate', bytesPerSecond });
  }
  if (body.replicas !== undefined) await scale(orchestrator, name, body.replicas);
  return follow(context, 'volume-change', name);
}

async function scale(orchestrator: Orchestrator, name: string, count: number): Promise<void> {
  for (;;) {
    const { replicaCount, replicas } = await viewOf(orchestrator, name);
    const copies = replicas.filter(isWantedCopy);
    if (replicaCount === count) return;
    if (replicaCount < count) {
      await orchestrator.changeVolume(name, { kind: 'add-replica' });
      continue;
    }
    // Who is behind goes first, then the youngest.
    const last = copies.find(({ mode }) => mode !== 'in-sync') ?? copies.at(-1);
    if (last === undefined) return;
    await orchestrator.changeVolume(name, { kind: 'remove-replica', replica: last.id });
  }
}

const isWantedCopy = ({ role, leaving }: ReplicaView): boolean => role === 'data' && !leaving;

/** To the end: the volume is what its record says, and every replica is in sync. */
function follow({ orchestrator, operations }: ApiContext, kind: Operation['kind'], name: string) {
  return operations.begin(kind, name, (progress) => untilSettled(orchestrator, name, progress));
}

/** Throws Problem change-refused when the target has refused for `refusalMs`. */
export async function untilSettled(
  orchestrator: Orchestrator,
  name: string,
  progress: Progress,
  { refusalMs } = { refusalMs: REFUSAL_MS },
): Promise<string> {
  let acceptedAt = performance.now();
  for (;;) {
    const view = await viewOf(orchestrator, name);
    const { replicas, servedSize, status, reason, refusal } = view;
    if (refusal === null) acceptedAt = performance.now();
    else if (performance.now() - acceptedAt >= refusalMs) throw changeRefused(name, refusal);
    const behind = replicas.filter(({ mode, leaving }) => leaving || mode !== 'in-sync');
    const isCounted = replicas.filter(isWantedCopy).length === view.replicaCount;
    if (status === 'healthy' && behind.length === 0 && isCounted && servedSize === null) {
      return `volume ${name} has ${formatSize(view.size)} on ${view.replicaCount} replicas, all in sync`;
    }
    const resync = behind.map((each) => each.resync).find((each) => each !== null);
    progress(resync?.percent ?? 0, refusal ?? reason ?? 'the target is told');
    await delay(POLL_MS, undefined, { ref: false });
  }
}

function changeRefused(name: string, refusal: string): Problem {
  return new Problem('change-refused', `volume ${name} is not changed yet: ${refusal}`, {
    next: `it is recorded, and tried again by itself; see: mayactl volume info ${name}`,
  });
}

async function viewOf(orchestrator: Orchestrator, name: string): Promise<VolumeView> {
  const view = await orchestrator.volume(name, { fresh: true });
  if (view !== null && view.status !== 'deleting') return view;
  throw new Problem('volume-not-found', `there is no volume ${name}`, {
    next: 'mayactl volume list',
  });
}
