// What Polar's documentation shows for Express, and a redirect from memory beside it.
// POLAR_URL is the server to ask in place of the adapter's own; PORT is where to listen.
import { Checkout } from "@polar-sh/express";
import express from "express";

const upstream = new URL(process.env.POLAR_URL);
const fetchFromWeb = globalThis.fetch;

// The adapter knows two servers only. Everything but the address stays as it was.
globalThis.fetch = async (input, init) => {
  if (!(input instanceof Request)) return fetchFromWeb(input, init);
  const url = new URL(input.url);
  url.protocol = upstream.protocol;
  url.host = upstream.host;
  const { method, headers, signal } = input;
  return fetchFromWeb(url, { method, headers, signal, body: (await input.text()) || undefined });
};

const app = express();

app.get(
  "/checkout",
  Checkout({
    accessToken: process.env.POLAR_ACCESS_TOKEN,
    successUrl: "https://shop.example.com/success",
    server: "sandbox",
  }),
);

app.get("/memory", (request, response) => {
  response.redirect("https://buy.polar.sh/polar_cl_1");
});

app.listen(Number(process.env.PORT), "127.0.0.1");
