import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MAX_BODY_BYTES } from '../limits.ts';
import { Problem, fileProblem } from '../problem.ts';

/** Every answer that is no success is problem+json (RFC 9457). */
export function installErrorHandlers(app: FastifyInstance, dataDirectory: string): void {
  app.setErrorHandler((error: unknown, request, reply) => {
    const problem = problemOf(error, dataDirectory);
    if (problem.status >= 500) request.log.error({ err: error }, problem.message);
    return sendProblem(request, reply, problem);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      request,
      reply,
      new Problem('not-found', `there is no ${request.method} ${request.url.split('?')[0] ?? ''}`, {
        next: 'GET /openapi.json lists what there is',
      }),
    ),
  );
}

export function sendProblem(
  request: FastifyRequest,
  reply: FastifyReply,
  problem: Problem,
): FastifyReply {
  if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="openebs"');
  return reply
    .code(problem.status)
    .type('application/problem+json')
    .serializer(JSON.stringify)
    .send(problem.toDocument(request.url));
}

export function problemOf(error: unknown, dataDirectory: string): Problem {
  if (error instanceof Problem) return error;
  const disk = fileProblem(error, dataDirectory);
  if (disk !== null) return disk;
  if (!isFastifyError(error)) return internal(error);
  if (error.validation !== undefined) return validationProblem(error);
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new Problem('too-large', `a request has at most ${MAX_BODY_BYTES} bytes`);
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new Problem('media-type', 'the body has to be application/json', {
        next: 'send the header Content-Type: application/json',
      });
    default:
      return error.statusCode !== undefined && error.statusCode < 500
        ? new Problem('bad-request', error.message)
        : internal(error);
  }
}

function internal(error: unknown): Problem {
  return new Problem('internal', error instanceof Error ? error.message : String(error), {
    next: 'the server log has the details',
    cause: error,
  });
}

const ONE_SIZE =
  'exactly one of size ("1GiB") and sizeBytes is needed, at most one where there is a source';

function validationProblem(error: FastifyError): Problem {
  const issues = error.validation ?? [];
  if (error.validationContext === 'body') {
    if (issues.some(({ instancePath }) => instancePath === '/name')) {
      return new Problem(
        'name-invalid',
        'a name has 1 to 63 lower-case letters, digits and hyphens, no hyphen at its ends',
      );
    }
    // One wrong thing and its consequences: both sizes, or none of them.
    if (issues.every(({ schemaPath }) => schemaPath.startsWith('#/oneOf'))) {
      return new Problem('size-invalid', ONE_SIZE);
    }
  }
  const told = issues.filter(({ schemaPath }) => !schemaPath.startsWith('#/oneOf/'));
  const words = told.map(({ keyword, instancePath, message, params }) => {
    if (keyword === 'oneOf') return ONE_SIZE;
    const extra = 'additionalProperty' in params ? `: ${String(params['additionalProperty'])}` : '';
    const where = instancePath === '' ? (error.validationContext ?? 'request') : instancePath;
    return `${where.replace(/^\//, '')} ${message ?? 'is not valid'}${extra}`;
  });
  return new Problem('bad-request', words.join('; '));
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && ('validation' in error || 'statusCode' in error);
}
