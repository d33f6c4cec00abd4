// Answers one JSON request a line, {"op", ...}, with {"result"} or {"error"}: @bsv/sdk as a second opinion on keys.
// SDK_PEER names the folder whose node_modules holds it. Byte strings travel as number arrays, as on the BRC-100 wire.
import { answer, bytes, hex, rate, require } from './_driver.mjs'

const {
  PrivateKey, PublicKey, ProtoWallet, KeyDeriver, Point, BigNumber, Schnorr, BSM, ECIES, SignedMessage, EncryptedMessage,
  TOTP, HD, Mnemonic, Signature, Hash, Utils, MasterCertificate, VerifiableCertificate, Certificate, SymmetricKey, createNonce, verifyNonce
} = require('@bsv/sdk')

const key = (text) => PrivateKey.fromHex(text)
const pub = (text) => PublicKey.fromString(text)

const operations = {
  // a ProtoWallet call: method by its wire name
  wallet: async ({ root, method, args }) => await new ProtoWallet(key(root))[method](args),
  derive_private: ({ root, counterparty, invoice }) => key(root).deriveChild(pub(counterparty), invoice).toHex(),
  derive_public: ({ root, counterparty, invoice }) => pub(counterparty).deriveChild(key(root), invoice).toString(),
  key: ({ root }) => ({
    wif: key(root).toWif(),
    wif_test: key(root).toWif([0xef]),
    address: key(root).toAddress(),
    address_test: key(root).toAddress('testnet'),
    public_key: key(root).toPublicKey().toString()
  }),
  linkage_proof: ({ prover, counterparty, linkage, proof }) => {
    const proofBytes = bytes(proof)
    return new Schnorr().verifyProof(pub(prover), pub(counterparty), pub(linkage), {
      R: pub(hex(proofBytes.slice(0, 33))),
      SPrime: pub(hex(proofBytes.slice(33, 66))),
      z: new BigNumber(proofBytes.slice(66))
    })
  },
  bsm_sign: ({ root, message }) => BSM.sign(bytes(message), key(root)),
  bsm_verify: ({ public_key: text, message, der }) => BSM.verify(bytes(message), Signature.fromDER(bytes(der)), pub(text)),
  electrum_encrypt: ({ message, to, from, no_key: noKey }) => hex(ECIES.electrumEncrypt(bytes(message), pub(to), key(from), noKey)),
  electrum_decrypt: ({ data, to, from }) => hex(ECIES.electrumDecrypt(bytes(data), key(to), from ? pub(from) : undefined)),
  bitcore_encrypt: ({ message, to, from, iv }) => hex(ECIES.bitcoreEncrypt(bytes(message), pub(to), key(from), bytes(iv))),
  bitcore_decrypt: ({ data, to }) => hex(ECIES.bitcoreDecrypt(bytes(data), key(to))),
  message_sign: ({ message, signer, verifier }) => hex(SignedMessage.sign(bytes(message), key(signer), verifier ? pub(verifier) : undefined)),
  message_verify: ({ message, signature, recipient }) => SignedMessage.verify(bytes(message), bytes(signature), recipient ? key(recipient) : undefined),
  message_encrypt: ({ message, sender, recipient }) => hex(EncryptedMessage.encrypt(bytes(message), key(sender), pub(recipient))),
  message_decrypt: ({ message, recipient }) => hex(EncryptedMessage.decrypt(bytes(message), key(recipient))),
  totp: ({ secret, digits, algorithm, period, timestamp }) => TOTP.generate(bytes(secret), { digits, algorithm, period, timestamp }),
  shares: ({ root, threshold, total }) => key(root).toBackupShares(threshold, total),
  from_shares: ({ shares }) => PrivateKey.fromBackupShares(shares).toHex(),
  seed: ({ phrase, passphrase }) => hex(Mnemonic.fromString(phrase).toSeed(passphrase)),
  phrase: ({ entropy }) => Mnemonic.fromEntropy(bytes(entropy)).toString(),
  extended: ({ seed, path }) => {
    const node = HD.fromSeed(bytes(seed)).derive(path)
    return { xprv: node.toString(), xpub: node.toPublic().toString() }
  },
  extended_public: ({ xpub, path }) => HD.fromString(xpub).derive(path).toString(),
  certificate_issue: async ({ certifier, subject, fields, type, serial, outpoint }) => {
    const made = await MasterCertificate.issueCertificateForSubject(
      new ProtoWallet(key(certifier)), subject, fields, type, async () => outpoint, serial)
    return { ...made, binary: hex(made.toBinary()) }
  },
  certificate_verify: async ({ binary }) => await Certificate.fromBinary(bytes(binary)).verify(),
  certificate_master_fields: async ({ root, counterparty, certificate, keyring }) =>
    await MasterCertificate.decryptFields(new ProtoWallet(key(root)), keyring, certificate.fields, counterparty),
  certificate_reveal: async ({ root, certifier, verifier, certificate, names, keyring }) =>
    await MasterCertificate.createKeyringForVerifier(
      new ProtoWallet(key(root)), certifier, verifier, certificate.fields, names, keyring, certificate.serialNumber),
  certificate_fields: async ({ root, certificate, keyring }) =>
    await VerifiableCertificate.fromCertificate(certificate, keyring).decryptFields(new ProtoWallet(key(root))),
  // issuance: both parts, and the subject's checks, as @bsv/wallet-toolbox and its certifiers do them
  issuance_request: async ({ root, certifier, type, fields }) => {
    const wallet = new ProtoWallet(key(root))
    const made = await MasterCertificate.createCertificateFields(wallet, certifier, fields)
    return { type, clientNonce: await createNonce(wallet, certifier), fields: made.certificateFields, masterKeyring: made.masterKeyring }
  },
  issuance_answer: async ({ root, subject, type, clientNonce, fields, masterKeyring, outpoint }) => {
    const wallet = new ProtoWallet(key(root))
    if (!await verifyNonce(clientNonce, wallet, subject)) throw new Error('bad client nonce')
    const plain = await MasterCertificate.decryptFields(wallet, masterKeyring, fields, subject)
    const serverNonce = await createNonce(wallet, subject)
    const { hmac } = await wallet.createHmac(serial(clientNonce, serverNonce, subject))
    const { publicKey } = await wallet.getPublicKey({ identityKey: true })
    const certificate = new Certificate(type, Utils.toBase64(hmac), subject, publicKey, outpoint, fields)
    await certificate.sign(wallet)
    return { serverNonce, certificate: { ...certificate }, plain }
  },
  issuance_check: async ({ root, certifier, clientNonce, serverNonce, masterKeyring, binary }) => {
    const wallet = new ProtoWallet(key(root))
    if (!await verifyNonce(serverNonce, wallet, certifier)) throw new Error('bad server nonce')
    const certificate = Certificate.fromBinary(bytes(binary))
    const hmac = Utils.toArray(certificate.serialNumber, 'base64')
    await wallet.verifyHmac({ ...serial(clientNonce, serverNonce, certifier), hmac })
    if (!await certificate.verify()) throw new Error('bad signature')
    return await MasterCertificate.decryptFields(wallet, masterKeyring, certificate.fields, certifier)
  },
  // operations a second of one job
  rate: async ({ job, seconds }) => await rate(await (prepared[job] ??= jobs[job]()), seconds)
}

const serial = (clientNonce, serverNonce, counterparty) => ({
  data: Utils.toArray(clientNonce + serverNonce, 'base64'),
  protocolID: [2, 'certificate issuance'],
  keyID: serverNonce + clientNonce,
  counterparty
})

const prepared = {}
const jobs = {
  derive_private: () => {
    const root = key('11'.repeat(32)); const peers = many(400); let i = 0
    return () => root.deriveChild(peers[i++ % 400], '2-3241645161d8-prefix suffix')
  },
  derive_public: () => {
    const root = key('11'.repeat(32)); const peers = many(400); let i = 0
    return () => peers[i++ % 400].deriveChild(root, '2-3241645161d8-prefix suffix')
  },
  encrypt: () => {
    const wallet = new ProtoWallet(key('11'.repeat(32))); const peers = many(400).map(String); let i = 0
    const plaintext = Array(1024).fill(7)
    return async () => await wallet.encrypt({ plaintext, protocolID: [2, 'benchmarks'], keyID: '1', counterparty: peers[i++ % 400] })
  },
  encrypt_seen: () => {
    const wallet = new ProtoWallet(key('11'.repeat(32))); const counterparty = String(many(1)[0])
    const plaintext = Array(1024).fill(7)
    return async () => await wallet.encrypt({ plaintext, protocolID: [2, 'benchmarks'], keyID: '1', counterparty })
  },
  decrypt: async () => {
    const wallet = new ProtoWallet(key('11'.repeat(32))); const peers = many(400).map(String); let i = 0
    const named = (i) => ({ protocolID: [2, 'benchmarks'], keyID: '1', counterparty: peers[i] })
    const plaintext = Array(1024).fill(7)
    const sealed = await Promise.all(peers.map((_, i) => wallet.encrypt({ plaintext, ...named(i) })))
    return async () => { i = (i + 1) % 400; return await wallet.decrypt({ ...named(i), ...sealed[i] }) }
  },
  decrypt_seen: async () => {
    const wallet = new ProtoWallet(key('11'.repeat(32))); const counterparty = String(many(1)[0])
    const named = { protocolID: [2, 'benchmarks'], keyID: '1', counterparty }
    const sealed = await wallet.encrypt({ plaintext: Array(1024).fill(7), ...named })
    return async () => await wallet.decrypt({ ...named, ...sealed })
  },
  create_signature: () => {
    const wallet = new ProtoWallet(key('11'.repeat(32))); const counterparty = String(many(1)[0]); const data = Array(100).fill(7)
    return async () => await wallet.createSignature({ data, protocolID: [2, 'benchmarks'], keyID: '1', counterparty })
  },
  verify_signature: async () => {
    const wallet = new ProtoWallet(key('11'.repeat(32))); const counterparty = String(many(1)[0]); const data = Array(100).fill(7)
    const named = { data, protocolID: [2, 'benchmarks'], keyID: '1', counterparty }
    const { signature } = await wallet.createSignature(named)
    return async () => await wallet.verifySignature({ ...named, signature, forSelf: true })
  }
}

const many = (count) => Array.from({ length: count }, (_, i) => new PrivateKey(1000 + i).toPublicKey())

await answer(operations)
