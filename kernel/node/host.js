'use strict';
/* The other end of the link, as the main thread sees it: what it says comes from the reader's
 * thread, what is said to it is written at once. */
const {MessageChannel, Worker, receiveMessageOnPort} = require('node:worker_threads');
const {readSync} = require('node:fs');
const path = require('node:path');
const {KIND, PIPES_FIRST, ALL_OF_THE_PIPES, json, send} = require('./link.js');

const INTERRUPTED_AT = 24; /* in the memory of --pipes-fd */
const PIECE_UNITS = 16384; /* of UTF-16: at most 48 KiB of UTF-8 */

class Host {
  constructor(fd, pageFd) {
    this.fd = fd;
    this.pageFd = pageFd;
    this.pipesFirst = false; /* of the next text */
    this.waiting = []; /* frames that came while an input was awaited */
    this.arrivals = new Int32Array(new SharedArrayBuffer(4));
    const {port1, port2} = new MessageChannel();
    this.port = port1;
    new Worker(path.join(__dirname, 'reader.js'), {
      workerData: {fd, port: port2, arrivals: this.arrivals},
      transferList: [port2],
      stdout: false,
      stderr: false,
    });
  }

  /* Calls take with each frame, one after the other: the next when take's promise is settled. */
  async serve(take) {
    for (;;) {
      while (this.waiting.length) await take(this.waiting.shift());
      const message = receiveMessageOnPort(this.port);
      if (message) {
        await take(frameOf(message.message));
        continue;
      }
      await new Promise((resolve) => {
        this.port.once('message', (frame) => {
          this.waiting.push(frameOf(frame));
          resolve();
        });
      });
    }
  }

  /* The next frame of the kind; keeps the thread. Others wait for their turn; stop is called with
   * one that ends everything. */
  awaitFrame(kind, stop) {
    for (;;) {
      const seen = Atomics.load(this.arrivals, 0);
      const message = receiveMessageOnPort(this.port);
      if (!message) {
        Atomics.wait(this.arrivals, 0, seen);
        continue;
      }
      const frame = frameOf(message.message);
      if (frame.kind === kind) return frame;
      if (frame.kind === KIND.SHUTDOWN) stop();
      this.waiting.push(frame);
    }
  }

  /* The request that its latest SIGINT is for; 0: none. */
  interrupted() {
    const number = Buffer.alloc(8);
    readSync(this.pageFd, number, 0, number.length, INTERRUPTED_AT);
    return Number(number.readBigUInt64LE(0));
  }

  say(kind, number, value) {
    send(this.fd, kind, number, value === undefined ? [] : [json(value)]);
  }

  /* name: stdout or stderr. What stands in the pipes comes first where a child has just written
   * there, and only then: what would be written to them next could overtake the text. */
  stream(number, name, text) {
    const pipes = this.pipesFirst ? [ALL_OF_THE_PIPES] : [];
    this.pipesFirst = false;
    for (let at = 0, end; at < text.length; at = end) {
      end = Math.min(at + PIECE_UNITS, text.length);
      if (end < text.length && isFirstHalf(text.charCodeAt(end - 1))) end--;
      const piece = Buffer.from(text.slice(at, end));
      const parts = [Buffer.from(name), piece, ...pipes];
      send(this.fd, KIND.STREAM, number, parts, pipes.length ? PIPES_FIRST : 0);
    }
  }

  publish(number, type, content, metadata = {}) {
    const parts = [Buffer.from(type), json(metadata), json(content), ALL_OF_THE_PIPES];
    send(this.fd, KIND.PUBLISH, number, parts, PIPES_FIRST);
  }

  /* Nothing in the pipes comes first: what the cell has written there by the time that the host
   * reads this comes behind the text before it. */
  begin(number, content) {
    const parts = [Buffer.from('execute_input'), json({}), json(content)];
    send(this.fd, KIND.PUBLISH, number, parts);
  }

  reply(number, content, metadata = {}, flags = 0) {
    const parts = [json(metadata), json(content), ALL_OF_THE_PIPES];
    send(this.fd, KIND.REPLY, number, parts, flags | PIPES_FIRST);
  }

  history(number, line, source) {
    const text = Buffer.from(source);
    send(this.fd, KIND.HISTORY, number, [Buffer.from(String(line)), text, text]);
  }
}

/* Of a surrogate pair. */
function isFirstHalf(unit) {
  return unit >= 0xd800 && unit < 0xdc00;
}

/* Buffers cross between threads as plain arrays of bytes. */
function frameOf({kind, number, parts}) {
  return {kind, number, parts: parts.map((p) => Buffer.from(p.buffer, p.byteOffset, p.byteLength))};
}

module.exports = {Host};
