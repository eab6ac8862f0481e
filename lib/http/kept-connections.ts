import type { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import { HeadRepair } from './repair-head.js';

/**
 * Makes `agent` close an idle connection that receives data, such as the body that some servers send after a HEAD
 * response. It would otherwise be parsed as the next response.
 */
export function closeOnSurplus(agent: Agent): void {
  const keep = agent.keepSocketAlive.bind(agent) as (socket: Duplex) => boolean;
  const reuse = agent.reuseSocket.bind(agent);
  agent.keepSocketAlive = (socket) => {
    const isKept = keep(socket);
    if (isKept) socket.on('data', closeSocket);
    return isKept;
  };
  agent.reuseSocket = (socket, request) => {
    socket.off('data', closeSocket);
    reuse(socket, request);
  };
}

function closeSocket(this: Duplex): void {
  this.destroy();
}

/** Makes `agent` repair the head of each response (see `HeadRepair`). The agent must not keep connections alive. */
export function repairHeads(agent: Agent): void {
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, done) => {
    const socket = connect(options, (error, stream) => {
      // Node calls it without arguments when it is the listener of a connection.
      if (stream !== undefined) repairHeadOf(stream);
      done?.(error, stream);
    });
    if (socket !== null && socket !== undefined) repairHeadOf(socket);
    return socket;
  };
}

/** Intercepts the socket's events in place, so that TLS, timeouts and the agent keep the same socket object. */
function repairHeadOf(socket: Duplex): void {
  const repair = new HeadRepair();
  const emit = socket.emit.bind(socket) as (event: string | symbol, ...values: unknown[]) => boolean;
  const pass = (bytes: Buffer): boolean => bytes.length > 0 && emit('data', bytes);
  socket.emit = (event: string | symbol, ...values: unknown[]): boolean => {
    if (event === 'data') return pass(repair.push(values[0] as Buffer));
    if (event === 'end') pass(repair.flush());
    return emit(event, ...values);
  };
}
