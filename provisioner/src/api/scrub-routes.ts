import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Orchestrator, ScrubView } from '../orchestrator/orchestrator.ts';
import { Problem } from '../problem.ts';
import type { ApiContext } from './app.ts';
import type { Progress } from './operations.ts';
import { accepted, nameParams, problems } from './schemas.ts';

const POLL_MS = 250;

export function scrubRoutes(app: FastifyInstance, { orchestrator, operations }: ApiContext): void {
  app.post<{ Params: { name: string } }>(
    '/v1/volumes/:name/scrub',
    {
      schema: {
        operationId: 'scrubVolume',
        summary: 'Verify every block of all replicas now',
        description: 'One that runs already is as good: it is followed to its end.',
        tags: ['volumes'],
        params: nameParams,
        response: { 202: accepted, ...problems },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const before = await orchestrator.scrubVolume(name);
      const operation = operations.begin('volume-scrub', name, (progress) =>
        untilScrubbed(orchestrator, { name, before, progress }),
      );
      return reply.code(202).header('location', `/v1/operations/${operation.id}`).send(operation);
    },
  );
}

/** However long it takes: it waits while replicas are away, and goes on after restarts. */
async function untilScrubbed(
  orchestrator: Orchestrator,
  scrub: { readonly name: string; readonly before: ScrubView; readonly progress: Progress },
): Promise<string> {
  const { name, before, progress } = scrub;
  for (;;) {
    await delay(POLL_MS, undefined, { ref: false });
    const view = await orchestrator.volume(name, { fresh: true });
    if (view === null || view.status === 'deleting') {
      throw new Problem('volume-deleting', `volume ${name} was deleted meanwhile`);
    }
    const { scrub: now = null, lostBlocks = 0 } = view.integrity ?? {};
    if (now === null) continue;
    if (now.state === 'idle' && now.lastCompletedAt !== before.lastCompletedAt) {
      return outcomeOf(name, now, lostBlocks);
    }
    const eta = now.etaSeconds === null ? '' : `, ${now.etaSeconds} s left`;
    progress(now.percent, now.state === 'waiting' ? 'it waits' : `it reads${eta}`);
  }
}

function outcomeOf(
  name: string,
  { badBlocks, divergentBlocks }: ScrubView,
  lostBlocks: number,
): string {
  if (badBlocks + divergentBlocks === 0) return `volume ${name} is sound`;
  const found = [
    `bad blocks: ${badBlocks}`,
    ...(divergentBlocks === 0 ? [] : [`blocks in which replicas differed: ${divergentBlocks}`]),
    lostBlocks === 0 ? 'all are repaired' : `lost, without a good copy: ${lostBlocks}`,
  ];
  return `volume ${name} was not sound; ${found.join('; ')}`;
}
