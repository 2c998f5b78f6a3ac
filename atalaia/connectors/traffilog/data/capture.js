(() => {
  const began = Date.now(), lines = [], known = new Map(), send = WebSocket.prototype.send;
  const mask = (text) => text
    .replace(/(session_token(?:"|%22)(?::|%3A)(?:"|%22))([0-9A-Za-z_-]+)/gi, (_, head, value) => head + "0".repeat(value.length))
    .replace(/((?:password|login_name)("|%22)(?::|%3A)\2)(.*?)\2/gi, (_, head, quote) => head + "masked" + quote);
  const keep = (socket, dir, data) => {
    if (typeof data !== "string") return;
    const now = Date.now();
    lines.push(JSON.stringify({ seq: lines.length, dir, t_ms: now - began, at_ms: now, socket: known.get(socket), raw: mask(data), json: null }));
  };
  const watch = (socket) => {
    if (known.has(socket)) return;
    known.set(socket, known.size);
    socket.addEventListener("message", (event) => keep(socket, "in", event.data));
  };
  WebSocket.prototype.send = function (data) {
    watch(this);
    keep(this, "out", data);
    return send.call(this, data);
  };
  window.atalaiaCapture = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/x-ndjson" }));
    link.download = "telematics.jsonl";
    link.click();
    return `${lines.length} messages`;
  };
  return "capturing; atalaiaCapture() saves";
})();
