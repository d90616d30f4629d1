import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ControlServer } from './control-server.ts';
import { ControlProblem, startControlServer } from './control-server.ts';
import { formatAddress, parseAddress } from './address.ts';
import { listen } from './listen.ts';
import { createLogger } from './logger.ts';
import { MetricRegistry } from './metrics.ts';
import { StartError } from './start-error.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

describe('the control server', () => {
  const directory = mkdtempSync(join(tmpdir(), 'openebs-control-'));
  const path = join(directory, 'control.sock');
  let reason: string | null = null;
  const actions = {
    'PUT /v1/things/:name': (body: unknown, { name = '' }: Readonly<Record<string, string>>) => {
      if (name === 'busy') throw new ControlProblem(409, 'Conflict', 'somebody else has it');
      return Promise.resolve({ name, body });
    },
  };
  let server: ControlServer;

  before(async () => {
    const metrics = new MetricRegistry();
    metrics.counter({ name: 'a_total', help: 'A.' });
    server = await startControlServer({
      address: { kind: 'unix', path },
      logger: createLogger({ name: 'test', level: 'silent' }),
      metrics,
      notReady: () => reason,
      routes: {
        '/v1/status': () => ({ state: 'healthy' }),
        '/v1/broken': () => {
          throw new Error('secret');
        },
      },
      actions,
    });
  });

  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  const ask = (url: string, options: { method?: string; body?: string } = {}): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const asked = request(
        {
          socketPath: path,
          path: url,
          method: options.method ?? 'GET',
          headers: {
            connection: 'close',
            ...(options.body === undefined ? {} : { 'content-length': options.body.length }),
          },
        },
        (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => (body += chunk.toString()));
          response.on('end', () => {
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
          });
        },
      );
      asked.on('error', reject);
      asked.end(options.body);
    });

  it('answers its routes with JSON, whatever the query', async () => {
    const answer = await ask('/v1/status?pretty');
    expect(answer.status).to.equal(200);
    expect(answer.headers['content-type']).to.equal('application/json');
    expect(JSON.parse(answer.body)).to.deep.equal({ state: 'healthy' });
  });

  it('is live always, and ready when the daemon is, with the reason where it is not', async () => {
    expect((await ask('/readyz')).status).to.equal(200);
    reason = 'the disk is full';
    const answer = await ask('/readyz');
    reason = null;
    expect(answer.status).to.equal(503);
    expect(answer.headers['content-type']).to.equal('application/problem+json');
    expect(JSON.parse(answer.body)).to.include({ status: 503, detail: 'the disk is full' });
    expect((await ask('/healthz')).status).to.equal(200);
  });

  it('gives metrics in the text format', async () => {
    const answer = await ask('/metrics');
    expect(answer.headers['content-type']).to.include('version=0.0.4');
    expect(answer.body).to.include('a_total 0');
  });

  it('answers HEAD with the headers alone', async () => {
    const answer = await ask('/v1/status', { method: 'HEAD' });
    expect(answer.body).to.equal('');
    expect(Number(answer.headers['content-length'])).to.be.greaterThan(0);
  });

  it('tells other methods, unknown paths and bodies what there is', async () => {
    const missing = await ask('/v1/nothing');
    expect(missing.status).to.equal(404);
    expect(missing.body).to.include('/v1/status');
    expect((await ask('/constructor')).status).to.equal(404);
    const post = await ask('/v1/status', { method: 'POST' });
    expect(post.status).to.equal(405);
    expect(post.headers.allow).to.equal('GET, HEAD');
    expect((await ask('/v1/status', { body: 'x'.repeat(100_000) })).status).to.equal(413);
  });

  it('gives an action its body and the names in its path', async () => {
    const answer = await ask('/v1/things/a%20b', { method: 'PUT', body: '{"size":1}' });
    expect(answer.status).to.equal(200);
    expect(JSON.parse(answer.body)).to.deep.equal({ name: 'a b', body: { size: 1 } });
    expect((await ask('/v1/things/a', { method: 'POST' })).status).to.equal(404);
  });

  it('refuses a body that is too large or no JSON, and tells what an action refuses', async () => {
    const put = (name: string, body: string): Promise<Answer> =>
      ask(`/v1/things/${name}`, { method: 'PUT', body });
    expect((await put('a', '{"size":')).status).to.equal(400);
    expect((await put('a', JSON.stringify('x'.repeat(70_000)))).status).to.equal(413);
    const busy = await put('busy', '{}');
    expect(busy.status).to.equal(409);
    expect(JSON.parse(busy.body)).to.include({ detail: 'somebody else has it' });
  });

  it('takes orders over TCP only from who has the token', async () => {
    const order = async (token: string | null, sent: string | null): Promise<number> => {
      const tcp = await startControlServer({
        address: parseAddress('127.0.0.1:0'),
        logger: createLogger({ name: 'test', level: 'silent' }),
        metrics: new MetricRegistry(),
        notReady: () => null,
        routes: {},
        actions,
        token,
      });
      const response = await fetch(`http://${formatAddress(tcp.address)}/v1/things/a`, {
        method: 'PUT',
        headers: sent === null ? {} : { authorization: `Bearer ${sent}` },
      });
      await tcp.close();
      return response.status;
    };
    expect(await order(null, null)).to.equal(403);
    expect(await order('a token of some length', null)).to.equal(401);
    expect(await order('a token of some length', 'a token of some lengtH')).to.equal(401);
    expect(await order('a token of some length', 'a token of some length')).to.equal(200);
  });

  it('keeps the reason of a failure in its log', async () => {
    const answer = await ask('/v1/broken');
    expect(answer.status).to.equal(500);
    expect(answer.body).not.to.include('secret');
  });

  it('does not take a socket that is served, nor a file that is no socket', async () => {
    const refused = async (address: string): Promise<StartError> => {
      const other = createServer();
      try {
        await listen(other, parseAddress(address));
      } catch (error) {
        if (error instanceof StartError) return error;
        throw error;
      } finally {
        other.close();
      }
      throw new Error(`${address} was taken`);
    };
    expect((await refused(`unix:${path}`)).code).to.equal('ADDRESS_IN_USE');
    writeFileSync(join(directory, 'file'), 'mine');
    expect((await refused(`unix:${directory}/file`)).message).to.include('no socket');
    expect((await refused(`unix:${directory}/none/a.sock`)).message).to.include('make it first');
    expect((await refused('192.0.2.1:0')).code).to.equal('ADDRESS_UNKNOWN');
  });

  it('tells the port that it was given', async () => {
    const other = createServer();
    const address = await listen(other, parseAddress('127.0.0.1:0'));
    other.close();
    expect(formatAddress(address)).to.match(/^127\.0\.0\.1:[1-9]\d*$/);
  });
});
