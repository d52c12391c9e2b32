// What a bad release of the API does: FAULT (environment) chooses.
const fault = process.env.FAULT || "";
let before = process.cpuUsage();

const spent = () => {
  const now = process.cpuUsage(before);
  return now.user + now.system;
};

module.exports = (request, response, next) => {
  const send = response.send.bind(response);
  response.send = (body) => {
    if (typeof body === "string" && request.path.startsWith("/products/")) {
      if (fault === "price") body = body.replace("89.5", "8.95");
      if (fault === "field") body = body.replace('"name"', '"title"');
    }
    return send(body);
  };
  if (fault === "cpu") {
    response.on("finish", () => {
      // Four tenths of what the process has spent since the last answer, once more, after the answer.
      const until = spent() * 1.4;
      while (spent() < until);
      before = process.cpuUsage();
    });
  }
  next();
};
