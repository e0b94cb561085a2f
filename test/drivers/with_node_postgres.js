// node-postgres: every parameter goes as text without a type, an array as SQL writes it.
const { Client } = require("pg");

const calls = JSON.parse(require("fs").readFileSync(0, "utf8"));
const known = {};

function sent(value) {
    if (value === null || typeof value !== "object") return value;
    if ("known" in value) return known[value.known];
    if ("json" in value) return JSON.stringify(value.json);
    if ("list" in value) return value.list.map(sent);
    if ("hex" in value) return Buffer.from(value.hex, "hex");
    if ("big" in value) return BigInt(value.big);
    return new Date(value.time);
}

async function main() {
    const client = new Client({ host: process.env.PGHOST });
    await client.connect();
    let failed = 0;
    for (const [name, sql, params, expected, stored] of calls) {
        let n = 0;
        let problem = "";
        try {
            const result = await client.query({ text: sql.replace(/%s/g, () => "$" + ++n), values: params.map(sent), rowMode: "array" });
            const value = result.rows[0][0];
            if (stored) known[stored] = value;
            // A bigint comes as a text.
            if (expected !== null && String(value) !== String(expected)) problem = `gave ${value} instead of ${expected}`;
        } catch (error) {
            problem = error.message;
        }
        if (problem === "") continue;
        ++failed;
        console.log(`${name}: ${problem}\n    ${sql}`);
    }
    await client.end();
    process.exit(failed === 0 ? 0 : 1);
}

main();
