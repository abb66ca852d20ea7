// Reads of the Python data source "kusto" as a map over tasks.
//
// Spark's reader of Python sources counts metrics row by row and copies each row one time more, which takes as
// long as all the rest of a plain read. So tasks are rows here, and what reads them is Spark's own operator
// for mapInArrow: executors need no class of ours. The tasks of a read that can be planned without running
// anything stand in the plan; those of one that is exported come from a scan that plans it when it runs.
// This file is compiled like KustoPushDown.java, after it; where it cannot be, reads work without it.

import java.lang.ref.SoftReference;
import java.util.*;
import org.apache.spark.sql.catalyst.expressions.And;
import org.apache.spark.sql.catalyst.expressions.AttributeReference;
import org.apache.spark.sql.catalyst.expressions.DynamicPruning;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.catalyst.expressions.NamedExpression$;
import org.apache.spark.sql.catalyst.expressions.PythonUDF;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.physical.Partitioning;
import org.apache.spark.sql.catalyst.plans.physical.SinglePartition$;
import org.apache.spark.sql.catalyst.plans.physical.UnknownPartitioning;
import org.apache.spark.sql.execution.FilterExec;
import org.apache.spark.sql.execution.ProjectExec;
import org.apache.spark.sql.execution.RDDScanExec;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.datasources.v2.DataSourceV2ScanRelation;
import org.apache.spark.sql.internal.SQLConf;
import org.apache.spark.sql.types.BinaryType$;
import org.apache.spark.sql.types.Metadata;

public class KustoTaskReads extends org.apache.spark.sql.execution.SparkStrategy {
  private static final int KEPT = 64;
  private final java.util.function.Function planner;
  private final com.fasterxml.jackson.databind.ObjectMapper json = new com.fasterxml.jackson.databind.ObjectMapper();
  // Scans of one query that read the same share their tasks: Spark then sees that they are the same.
  private final LinkedHashMap planned = new LinkedHashMap();
  private boolean warned = false;

  public KustoTaskReads(java.util.function.Function planner, String[] names) { this.planner = planner; }

  public scala.collection.immutable.Seq apply(LogicalPlan plan) {
    SparkPlan made = null;
    try {
      made = planned(plan);
    } catch (Exception e) {
      // Spark's own way fails with the same words, or not at all.
      if (!warned) org.slf4j.LoggerFactory.getLogger("spark_kusto").warn("kusto reads are left to Spark to plan", e);
      warned = true;
    }
    return seq(made == null ? new ArrayList() : Collections.singletonList(made));
  }

  private SparkPlan planned(LogicalPlan plan) throws Exception {
    scala.Option matched = org.apache.spark.sql.catalyst.planning.PhysicalOperation$.MODULE$.unapply(plan);
    if (matched.isEmpty()) return null;
    scala.Tuple3 parts = (scala.Tuple3) matched.get();
    if (!(parts._3() instanceof DataSourceV2ScanRelation)) return null;
    DataSourceV2ScanRelation relation = (DataSourceV2ScanRelation) parts._3();
    if (!(relation.scan() instanceof KustoPushDown.KustoScan)) return null;
    if (((KustoPushDown.KustoScan) relation.scan()).givesTasks()) return null;
    if (!"true".equalsIgnoreCase(SQLConf.get().getConfString("spark.kusto.taskReads.enabled", "true"))) return null;
    scala.collection.immutable.Seq projections = (scala.collection.immutable.Seq) parts._1();
    scala.collection.immutable.Seq filters = (scala.collection.immutable.Seq) parts._2();
    Expression condition = null;
    for (int i = 0; i < filters.size(); i++) {
      if (filters.apply(i) instanceof DynamicPruning) return null;
      Expression filter = (Expression) filters.apply(i);
      condition = condition == null ? filter : new And(condition, filter);
    }
    SparkPlan result = read(relation, (KustoPushDown.KustoScan) relation.scan());
    if (result == null) return null;
    if (condition != null) result = new FilterExec(condition, result);
    if (same(result.output(), projections)) return result;
    return new ProjectExec(projections, result);
  }

  private SparkPlan read(DataSourceV2ScanRelation relation, KustoPushDown.KustoScan scan) throws Exception {
    Object[] tasks = tasks(scan);
    if (tasks == null) return null;
    AttributeReference task = new AttributeReference("task", BinaryType$.MODULE$, true, Metadata.empty(),
        NamedExpression$.MODULE$.newExprId(), seq(new ArrayList()));
    List input = Collections.singletonList(task);
    SparkPlan rows;
    if (tasks[0] == null) rows = planLater(deferred(relation, scan, input));
    else {
      org.apache.spark.rdd.RDD rdd = (org.apache.spark.rdd.RDD) tasks[0];
      Partitioning partitioning;
      // One task's rows need no exchange before they are sorted or aggregated.
      if (rdd.getNumPartitions() == 1) partitioning = SinglePartition$.MODULE$;
      else partitioning = new UnknownPartitioning(rdd.getNumPartitions());
      rows = new RDDScanExec(seq(input), rdd, scan.description(), partitioning, seq(new ArrayList()),
          scala.Option.empty());
    }
    Expression function = new PythonUDF("read", (org.apache.spark.api.python.PythonFunction) tasks[1], scan.schema,
        seq(input), org.apache.spark.api.python.PythonEvalType.SQL_MAP_ARROW_ITER_UDF(), true,
        NamedExpression$.MODULE$.newExprId());
    return new org.apache.spark.sql.execution.python.MapInArrowExec(function, relation.output(), rows, false,
        scala.Option.empty());
  }

  // Whether a projection gives just what is there.
  public static boolean same(scala.collection.immutable.Seq output, scala.collection.immutable.Seq projections) {
    if (output.size() != projections.size()) return false;
    for (int i = 0; i < output.size(); i++) {
      if (!(projections.apply(i) instanceof AttributeReference)) return false;
      if (((AttributeReference) projections.apply(i)).exprId().id() != ((AttributeReference) output.apply(i)).exprId().id())
        return false;
    }
    return true;
  }

  // The tasks of a read that is planned when it runs.
  private LogicalPlan deferred(DataSourceV2ScanRelation relation, KustoPushDown.KustoScan scan, List output) {
    // Versions of Spark differ in what follows the first three parts.
    Object[] parts = new Object[relation.productArity()];
    for (int i = 0; i < parts.length; i++) parts[i] = relation.productElement(i);
    parts[1] = scan.tasks();
    parts[2] = seq(output);
    return (LogicalPlan) relation.makeCopy(parts);
  }

  // The tasks as rows of their own partitions (null: planned when they run), and the Python function that reads them.
  private Object[] tasks(KustoPushDown.KustoScan scan) throws Exception {
    String key = scan.query + scan.identity;
    Object[] known = known(key, null);
    if (known != null) return known;
    Map read = new LinkedHashMap();
    read.put("options", scan.options);
    read.put("schema", scan.schema.json());
    List answer = (List) planner.apply(json.writeValueAsString(Collections.singletonMap("read", read)));
    if (answer == null) return null;
    if (answer.get(1) == null) return new Object[] {null, answer.get(0)};
    List packed = (List) json.readValue((String) answer.get(1), List.class);
    List rows = new ArrayList();
    for (int i = 0; i < packed.size(); i++)
      rows.add(new GenericInternalRow(new Object[] {Base64.getDecoder().decode((String) packed.get(i))}));
    org.apache.spark.api.java.JavaSparkContext context = new org.apache.spark.api.java.JavaSparkContext(
        org.apache.spark.SparkContext.getOrCreate());
    org.apache.spark.rdd.RDD rdd = context.parallelize(rows, Math.max(1, rows.size())).rdd();
    rdd.setName(KustoPushDown.READ + answer.get(2));
    return known(key, new Object[] {rdd, answer.get(0)});
  }

  // What is known under a key; if that is nothing, what was made. Plans in use hold their tasks themselves.
  private synchronized Object[] known(String key, Object[] made) {
    SoftReference reference = (SoftReference) planned.get(key);
    Object[] found = reference == null ? null : (Object[]) reference.get();
    if (found != null || made == null) return found;
    planned.put(key, new SoftReference(made));
    if (planned.size() > KEPT) planned.remove(planned.keySet().iterator().next());
    return made;
  }

  private static scala.collection.immutable.Seq seq(List items) {
    return scala.jdk.javaapi.CollectionConverters.asScala(items).toSeq();
  }
}
