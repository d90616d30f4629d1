import type { FastifyInstance, HTTPMethods } from 'fastify';
import { Problem } from '../problem.ts';

const METHODS: readonly HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

/**
 * A path that is there answers a method that it does not take with 405 and those that it takes (RFC
 * 9110 15.5.6): 404 would say that the path is wrong. To be called before there is any route; what
 * it returns, after the last one.
 */
export function refuseOtherMethods(app: FastifyInstance): () => void {
  const taken = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = taken.get(url) ?? new Set();
    for (const each of [method].flat()) methods.add(each);
    taken.set(url, methods);
  });
  return () => {
    for (const [url, methods] of [...taken]) {
      const allow = [...methods].sort().join(', ');
      app.route({
        url,
        method: METHODS.filter((each) => !methods.has(each)),
        schema: { hide: true },
        handler: (request, reply) => {
          void reply.header('allow', allow);
          const detail = `${request.url.split('?')[0] ?? ''} does not take ${request.method}`;
          throw new Problem('method-not-allowed', detail, { next: `it takes ${allow}` });
        },
      });
    }
  };
}
