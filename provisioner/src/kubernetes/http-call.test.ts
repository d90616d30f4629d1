import { once } from 'node:events';
import { Agent, createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { openCall, readText, type HttpCall } from './http-call.ts';

describe('an HTTP call', () => {
  const agent = new Agent({ keepAlive: true });
  let server: Server;
  let connections = 0;
  let answer: (body: string, response: ServerResponse) => void;

  beforeEach(async () => {
    connections = 0;
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => answer(body, response));
    });
    server.on('connection', () => connections++);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  afterEach(() => {
    agent.destroy();
    server.closeAllConnections();
    server.close();
  });

  const call = (options: Partial<HttpCall> = {}): ReturnType<typeof openCall> => {
    const { port } = server.address() as AddressInfo;
    return openCall(new URL(`http://127.0.0.1:${port}/`), {
      ...{ method: 'POST', headers: {}, agent, body: 'aé', deadlineMs: 10_000 },
      ...options,
    });
  };
  const text = async (options: Partial<HttpCall> = {}): Promise<string> =>
    readText(await call(options));

  it('brings a body there and its answer back, one after the other on one connection', async () => {
    answer = (body, response) => void response.end(`${body}!`);
    for (let i = 0; i < 3; i++) expect(await text()).to.equal('aé!');
    expect(connections).to.equal(1);
  });

  it('ends at its deadline, be it that no answer begins or that one never ends', async () => {
    answer = () => undefined;
    const words = await text({ deadlineMs: 50 }).then(String, String);
    expect(words).to.equal('Error: no answer within 50 ms');
    answer = (_body, response) => void response.write('begun');
    const late = await text({ deadlineMs: 300 }).then(String, String);
    expect(late).to.equal('Error: no answer within 300 ms');
  });

  it('goes on for long where the answer does, and ends when nothing comes any more', async () => {
    let timer: NodeJS.Timeout | undefined;
    answer = (_body, response) => {
      let left = 6;
      timer = setInterval(() => {
        if (left-- > 0) response.write('.');
      }, 100);
    };
    let heard = 0;
    const listen = async (): Promise<void> => {
      for await (const chunk of await call({ deadlineMs: 250, quietMs: 400 })) {
        heard += (chunk as Buffer).length;
      }
    };
    const words = await listen().then(String, String);
    clearInterval(timer);
    expect(heard).to.equal(6);
    expect(words).to.equal('Error: no answer within 400 ms');
  });

  it('ends when it is told to', async () => {
    answer = (_body, response) => void response.write('begun');
    const stop = new AbortController();
    const opened = await call({ quietMs: 10_000, signal: stop.signal });
    const words = readText(opened).then(String, String);
    stop.abort();
    expect(await words).to.equal('Error: aborted');
  });
});
