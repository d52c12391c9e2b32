// A Node server that answers everything and writes down what it was asked: PORT LOG.
const [port, log] = process.argv.slice(2);
const out = require('fs').createWriteStream(log, { flags: 'a' });
require('http').createServer((request, response) => {
  out.write(JSON.stringify({ method: request.method, target: request.url }) + '\n');
  request.on('error', () => {});
  request.resume();
  request.on('end', () => response.end('ok\n'));
}).on('clientError', (error, socket) => {
  // No request: as the others write down what they cannot read. One that was cut is none of these.
  const cut = ['HPE_INVALID_EOF_STATE', 'ECONNRESET'];
  if (!cut.includes(error.code)) out.write(JSON.stringify({ method: '', target: error.code }) + '\n');
  socket.destroy();
}).listen(Number(port), '127.0.0.1');
